internal import Glibc

/// A mutex and a condition of a fixed address, for threads that wait.
///
// Safe because: the two pointers never change, and pthread objects are made to be shared.
final class Monitor: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func lock() { pthread_mutex_lock(mutex) }
  func unlock() { pthread_mutex_unlock(mutex) }
  /// - Returns: false where somebody else has it.
  func tryLock() -> Bool { pthread_mutex_trylock(mutex) == 0 }
  func wait() { pthread_cond_wait(condition, mutex) }
  func signal() { pthread_cond_signal(condition) }
  func broadcast() { pthread_cond_broadcast(condition) }

  /// Waits for a signal, at most until `deadline` (`monotonicNanoseconds`).
  func wait(until deadline: Int64) {
    var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
    pthread_cond_timedwait(condition, mutex, &time)
  }

  func withLock<R>(_ body: () -> R) -> R {
    lock()
    defer { unlock() }
    return body()
  }
}

/// Nanoseconds of a clock that only goes forward, for durations and deadlines.
public func monotonicNanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// Nanoseconds that the calling thread has used of processors. A system call.
func threadProcessorNanoseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// A thread of our own, joined by whoever stops it.
public final class StorageThread: @unchecked Sendable {
  // Safe because: written once before anybody else sees the object.
  private var thread = pthread_t()

  private final class Start {
    let name: String
    let niceness: CInt
    let body: @Sendable () -> Void
    init(_ name: String, _ niceness: CInt, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.niceness = niceness
      self.body = body
    }
  }

  /// - Parameter niceness: added to the process's; below 0 only where the system lets it, and silently not where it does not.
  public init(_ name: String, niceness: CInt = 0, _ body: @escaping @Sendable () -> Void) {
    let code = Self.begin(Unmanaged.passRetained(Start(name, niceness, body)), &thread)
    precondition(code == 0, "no thread could be started for \(name)")
  }

  /// Nil where the system has no thread to give.
  init?(ifThereIsRoom name: String, niceness: CInt, _ body: @escaping @Sendable () -> Void) {
    let start = Unmanaged.passRetained(Start(name, niceness, body))
    guard Self.begin(start, &thread) == 0 else {
      start.release()
      return nil
    }
  }

  private static func begin(_ start: Unmanaged<Start>, _ thread: inout pthread_t) -> CInt {
    pthread_create(
      &thread, nil,
      { context in
        let start = Unmanaged<Start>.fromOpaque(context!).takeRetainedValue()
        StorageThread.name(start.name)
        StorageThread.addNiceness(start.niceness)
        start.body()
        return nil
      }, start.toOpaque())
  }

  /// Names the calling thread for debuggers and profiles, as far as 15 bytes go.
  private static func name(_ name: String) {
    let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    let bytes = Array(name.utf8.prefix(15))
    write(descriptor, bytes, bytes.count)
    close(descriptor)
  }

  /// Linux gives each thread a niceness of its own; 0 is the calling thread.
  private static func addNiceness(_ niceness: CInt) {
    guard niceness != 0 else { return }
    let calling = __priority_which_t(PRIO_PROCESS.rawValue)
    _ = setpriority(calling, 0, getpriority(calling, 0) + niceness)
  }

  public func join() { pthread_join(thread, nil) }
  var isCurrent: Bool { pthread_equal(thread, pthread_self()) != 0 }
}

/// One value handed from one thread to another that waits for it.
final class Handover<Value: Sendable>: @unchecked Sendable {
  // Safe because: guarded by `monitor`.
  private var value: Value?
  private let monitor = Monitor()

  func give(_ value: Value) {
    monitor.lock()
    self.value = value
    monitor.signal()
    monitor.unlock()
  }

  func take() -> Value {
    monitor.lock()
    defer { monitor.unlock() }
    while true {
      if let value { return value }
      monitor.wait()
    }
  }
}
