internal import Glibc
internal import Synchronization

/// Keeps scans from taking the processors from appends: while lanes have much to do, all scans of a store together get a share of the
/// processors' time, and sleep when they have used it up.
///
/// Priorities alone do not do it. However little a thread weighs, while it runs it holds its processor until the kernel's next tick, and its
/// sibling's caches; an append passes five threads, and waits at each.
///
// Safe because: `state` is a mutex, the rest atomic.
public final class ScanPace: Sendable {
  private struct State {
    /// The lanes' busy time and the clock when the load was looked at last, nanoseconds.
    var busyThen: Int64 = 0
    var lookedAt: Int64 = 0
    /// Of a processor; nil: as much as there is.
    var share: Double?
    /// Nanoseconds of a processor that may be used at once.
    var credit: Int64 = ScanPace.creditMax
    var refilledAt: Int64 = 0
  }
  private let state = Mutex(State())
  /// Nanoseconds of processors that lanes have used for groups of appends, all together; waiting for the disk is none.
  private let busy = Atomic<Int64>(0)
  private let processors: Double

  /// Lanes that work less than this part of the time are left alone by anybody.
  static let lightLoad = 0.1
  /// What scans get of all processors at least.
  static let floor = 0.125
  private static let lookEvery: Int64 = 20_000_000
  private static let creditMax: Int64 = 50_000_000
  /// The longest sleep at once: a scan that was cancelled notices behind it. Long enough for a millisecond of each of 25 scans.
  private static let sleepMax: Int64 = 100_000_000

  init(processors: Int) { self.processors = Double(max(1, processors)) }

  /// A lane has used so much of its processor for a group.
  func noteBusy(nanoseconds: Int64) { busy.add(nanoseconds, ordering: .relaxed) }

  /// Takes `used` from what scans may have.
  ///
  /// - Returns: how long to sleep, nanoseconds; 0 for not at all.
  func take(_ used: Int64, now: Int64) -> Int64 {
    state.withLock { state in
      if now - state.lookedAt >= Self.lookEvery {
        let busyNow = busy.load(ordering: .relaxed)
        let load = Double(busyNow - state.busyThen) / Double(now - state.lookedAt)
        state.share = load < Self.lightLoad ? nil : Self.floor * processors
        state.busyThen = busyNow
        state.lookedAt = now
      }
      guard let share = state.share else {
        state.credit = Self.creditMax
        state.refilledAt = now
        return 0
      }
      state.credit = min(Self.creditMax, state.credit + Int64(Double(now - state.refilledAt) * share)) - used
      state.refilledAt = now
      return state.credit >= 0 ? 0 : min(Self.sleepMax, Int64(Double(-state.credit) / share))
    }
  }

  /// To be called between two batches: sleeps if scans have had their share.
  @inline(__always)
  public func breathe() {
    let mark = ThreadMark.current
    let now = monotonicNanoseconds()
    if now - mark.pointee.lookedAt >= ThreadMark.lookEvery { pause(mark, now) }
  }

  private func pause(_ mark: UnsafeMutablePointer<ThreadMark>, _ now: Int64) {
    let processorTime = threadProcessorNanoseconds()
    let nanoseconds = take(processorTime - mark.pointee.processorTimeThen, now: now)
    if nanoseconds > 0 {
      var time = timespec(tv_sec: 0, tv_nsec: Int(nanoseconds))
      nanosleep(&time, nil)
    }
    mark.pointee.processorTimeThen = processorTime
    mark.pointee.lookedAt = nanoseconds > 0 ? monotonicNanoseconds() : now
  }
}

/// What a thread had used of its processor when it last looked: of the thread, because a statement may have many scans under way at once.
private struct ThreadMark {
  var lookedAt = monotonicNanoseconds()
  var processorTimeThen = threadProcessorNanoseconds()

  /// Asking for a thread's processor time is a system call.
  static let lookEvery: Int64 = 500_000

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key) { $0?.deallocate() }
    precondition(code == 0, "the system has no thread-local slot left")
    return key
  }()

  /// The calling thread's.
  static var current: UnsafeMutablePointer<ThreadMark> {
    if let mark = pthread_getspecific(key) { return mark.assumingMemoryBound(to: ThreadMark.self) }
    let mark = UnsafeMutablePointer<ThreadMark>.allocate(capacity: 1)
    mark.initialize(to: ThreadMark())
    pthread_setspecific(key, mark)
    return mark
  }
}
