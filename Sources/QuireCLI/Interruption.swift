internal import Dispatch
internal import Glibc
internal import Synchronization

/// Ctrl-C in client commands: the first one cancels the command's task, so that it can commit and leave; a second one ends the process.
enum Interruption {
  private static let happened = Atomic<Bool>(false)

  static var hasHappened: Bool { happened.load(ordering: .relaxed) }

  /// From now on Ctrl-C ends the process at once: for work that only reads and cannot be cancelled.
  static func endsProcess() { signal(SIGINT) { _ in _exit(130) } }

  /// Runs `work`, cancelled by SIGINT or SIGTERM.
  static func cancelling<R: Sendable>(_ work: @escaping @Sendable () async throws -> R) async throws -> R {
    let task = Task { try await work() }
    let queue = DispatchQueue(label: "signals")
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        if happened.exchange(true, ordering: .relaxed) { _exit(130) }
        task.cancel()
      }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    return try await task.value
  }
}
