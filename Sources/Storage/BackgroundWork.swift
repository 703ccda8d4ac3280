/// Work beside the lane on a partition's files, by their paths: when the partition is deleted, a topic that takes its name has the
/// same paths, so none may go on.
///
// Safe because: everything that changes is guarded by `monitor`.
final class BackgroundWork: @unchecked Sendable {
  private let monitor = Monitor()
  private var running = 0
  private var isEnded = false

  /// - Returns: what `body` does; nil, without calling it, once the work has been ended.
  func perform<Result>(_ body: () -> Result) -> Result? {
    let mayBegin = monitor.withLock {
      if !isEnded { running += 1 }
      return !isEnded
    }
    guard mayBegin else { return nil }
    defer {
      monitor.withLock { running -= 1 }
      monitor.broadcast()
    }
    return body()
  }

  /// Lets nothing begin any more, and waits for what has.
  func end() {
    monitor.lock()
    isEnded = true
    while running > 0 { monitor.wait() }
    monitor.unlock()
  }
}
