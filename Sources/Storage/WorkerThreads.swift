internal import DequeModule

/// Threads that do what they are given, in the order it came; one to begin with, and more when there is work that none is free for.
///
// Safe because: everything that changes is guarded by `monitor`.
final class WorkerThreads: @unchecked Sendable {
  typealias Work = @Sendable () -> Void

  private let name: String
  private let countMax: Int
  private let niceness: CInt
  private let monitor = Monitor()
  private var queue = Deque<Work>()
  private var threads: [StorageThread] = []
  private var waitingCount = 0
  private var isStopped = false

  init(_ name: String, countMax: Int, niceness: CInt = 0) {
    self.name = name
    self.countMax = max(1, countMax)
    self.niceness = niceness
    threads = [StorageThread("\(name)-0", niceness: niceness) { [unowned self] in self.run() }]
  }

  /// Runs `work` on one of the threads; after `stop`, when nothing waits behind it, at once: whoever asked gets an answer.
  func submit(_ work: @escaping Work) {
    monitor.lock()
    let isStopped = isStopped
    if !isStopped {
      queue.append(work)
      if waitingCount < queue.count, threads.count < countMax {
        // Without room for another, those there are come to it; the first is begun with the store.
        let thread = StorageThread(ifThereIsRoom: "\(name)-\(threads.count)", niceness: niceness) { [unowned self] in self.run()
        }
        if let thread { threads.append(thread) }
      }
    }
    monitor.signal()
    monitor.unlock()
    if isStopped { work() }
  }

  /// Finishes what was submitted and ends the threads.
  func stop() {
    monitor.lock()
    isStopped = true
    monitor.broadcast()
    let threads = threads
    monitor.unlock()
    for thread in threads { thread.join() }
  }

  private func run() {
    monitor.lock()
    while true {
      if let work = queue.popFirst() {
        monitor.unlock()
        work()
        monitor.lock()
      } else if isStopped {
        break
      } else {
        waitingCount += 1
        monitor.wait()
        waitingCount -= 1
      }
    }
    monitor.unlock()
  }
}
