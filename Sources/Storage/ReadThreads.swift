internal import DequeModule

/// The threads that may wait for the disk on somebody else's behalf.
///
/// Two classes of work: fetches and look-ups go first, and scans (SQL, export) never take the last thread. What nobody waits for has a
/// thread of its own, which runs when nobody else wants to.
///
// Safe because: everything that changes is guarded by `monitor`, or guards itself.
final class ReadThreads: @unchecked Sendable {
  typealias Work = @Sendable () -> Void

  private let monitor = Monitor()
  private var urgent = Deque<Work>()
  private var scans = Deque<Work>()
  private var runningScans = 0
  private let scansMax: Int
  private var isStopped = false
  private var threads: [StorageThread] = []
  private let idle = SerialThread("idle", niceness: 19)

  init(count: Int) {
    scansMax = max(1, count - 1)
    threads = (0..<max(1, count)).map { index in StorageThread("read-\(index)") { [unowned self] in self.run() } }
  }

  /// For work that nobody waits for.
  ///
  /// - Parameter orElse: called instead if it has not begun when the threads are stopped.
  func submitIdle(_ work: @escaping Work, orElse: @escaping Work) { idle.submit(work, orElse: orElse) }

  func submit(_ work: @escaping Work) {
    monitor.lock()
    if !isStopped { urgent.append(work) }
    let isStopped = isStopped
    monitor.signal()
    monitor.unlock()
    // After the stop nothing waits behind it: whoever asked gets an answer, here.
    if isStopped { work() }
  }

  func submitScan(_ work: @escaping Work) {
    monitor.lock()
    if !isStopped { scans.append(work) }
    let isStopped = isStopped
    monitor.signal()
    monitor.unlock()
    if isStopped { work() }
  }

  /// Finishes what was submitted and ends the threads.
  func stop() {
    monitor.lock()
    isStopped = true
    monitor.broadcast()
    monitor.unlock()
    idle.stop(finishing: false)
    for thread in threads { thread.join() }
  }

  private func run() {
    monitor.lock()
    while true {
      if let work = urgent.popFirst() {
        monitor.unlock()
        work()
        monitor.lock()
      } else if runningScans < scansMax, let work = scans.popFirst() {
        runningScans += 1
        monitor.unlock()
        work()
        monitor.lock()
        runningScans -= 1
        if !scans.isEmpty { monitor.signal() }
      } else if isStopped, scans.isEmpty {
        break
      } else {
        monitor.wait()
      }
    }
    monitor.broadcast()
    monitor.unlock()
  }
}
