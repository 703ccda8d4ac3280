internal import DequeModule

/// A thread that does what it is given, one after the other.
///
// Safe because: everything that changes is guarded by `monitor`.
final class SerialThread: @unchecked Sendable {
  typealias Work = @Sendable () -> Void

  private let monitor = Monitor()
  private var queue = Deque<(work: Work, orElse: Work)>()
  private var isStopped = false
  private var thread: StorageThread?

  init(_ name: String, niceness: CInt = 0) {
    thread = StorageThread(name, niceness: niceness) { [unowned self] in self.run() }
  }

  /// - Parameter orElse: called instead if the thread is stopped before it comes to `work`.
  /// - Returns: false if it is stopped already.
  @discardableResult
  func submit(_ work: @escaping Work, orElse: @escaping Work = {}) -> Bool {
    let isAccepted = monitor.withLock {
      if !isStopped { queue.append((work, orElse)) }
      return !isStopped
    }
    if isAccepted { monitor.signal() } else { orElse() }
    return isAccepted
  }

  /// Ends the thread after what it is at, or after everything it was given.
  func stop(finishing: Bool) {
    let left = monitor.withLock {
      isStopped = true
      defer { if !finishing { queue.removeAll() } }
      return finishing ? [] : queue
    }
    monitor.signal()
    for (_, orElse) in left { orElse() }
    thread?.join()
  }

  private func run() {
    while true {
      monitor.lock()
      while queue.isEmpty, !isStopped { monitor.wait() }
      let next = queue.popFirst()
      monitor.unlock()
      guard let next else { return }
      next.work()
    }
  }
}
