internal import Dispatch
internal import Glibc
internal import Synchronization

/// Ctrl-C in client commands: the first one cancels the command's task, so that it can commit and leave; a second one ends the process.
enum Interruption {
  /// The signal, 0 before there was one.
  private static let received = Atomic<CInt>(0)

  /// What the process exits with if it was interrupted, as shells count: 130 after Ctrl-C.
  static var exitCode: CInt? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : 128 + number
  }

  /// From now on Ctrl-C ends the process at once: for work that only reads and cannot be cancelled.
  static func endsProcess() { signal(SIGINT) { _ in _exit(130) } }

  /// Runs `work`; SIGINT and SIGTERM do nothing but call `handle`, on a thread of their own.
  static func handling<R: Sendable>(
    _ handle: @escaping @Sendable (CInt) -> Void, while work: @escaping @Sendable () async throws -> R
  ) async throws -> R {
    let queue = DispatchQueue(label: "signals")
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler { handle(number) }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    return try await work()
  }

  /// The process ends because of this signal.
  static func note(_ number: CInt) { received.store(number, ordering: .relaxed) }

  /// Runs `work`, cancelled by SIGINT or SIGTERM.
  static func cancelling<R: Sendable>(_ work: @escaping @Sendable () async throws -> R) async throws -> R {
    let task = Task { try await work() }
    let queue = DispatchQueue(label: "signals")
    let sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: queue)
      source.setEventHandler {
        if received.exchange(number, ordering: .relaxed) != 0 { _exit(128 + number) }
        task.cancel()
      }
      source.resume()
      return source
    }
    defer { for source in sources { source.cancel() } }
    return try await task.value
  }
}
