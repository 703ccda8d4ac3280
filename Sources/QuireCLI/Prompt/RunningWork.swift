internal import Dispatch
internal import Synchronization

/// Lets a thread that may block wait for asynchronous work, one piece after the other; any thread may cancel what runs.
final class RunningWork: Sendable {
  private struct State {
    var cancel: (@Sendable () -> Void)?
    var isOver = false
  }
  private let state = Mutex(State())

  /// Runs `work` elsewhere and blocks until it is done.
  ///
  /// - Throws: what it throws; `CancellationError` where it was cancelled before it began.
  func wait<R: Sendable>(for work: @escaping @Sendable () async throws -> R) throws -> R {
    let done = DispatchSemaphore(value: 0)
    let result = Mutex<Result<R, any Error>?>(nil)
    let task = Task.detached {
      let outcome: Result<R, any Error>
      do { outcome = .success(try await work()) } catch { outcome = .failure(error) }
      result.withLock { $0 = outcome }
      done.signal()
    }
    let isOver = state.withLock { state in
      state.cancel = { task.cancel() }
      return state.isOver
    }
    if isOver { task.cancel() }
    done.wait()
    state.withLock { $0.cancel = nil }
    return try result.withLock { $0 }!.get()
  }

  /// Cancels what runs.
  ///
  /// - Returns: whether anything did.
  @discardableResult
  func cancel() -> Bool {
    let cancel = state.withLock { $0.cancel }
    cancel?()
    return cancel != nil
  }

  /// Cancels what runs and all that would.
  func end() {
    state.withLock { state in
      state.isOver = true
      return state.cancel
    }?()
  }

  var isOver: Bool { state.withLock { $0.isOver } }

  /// Runs `body` on a thread of its own, which may block.
  static func onThread<R: Sendable>(_ label: String, _ body: @escaping @Sendable () throws -> R) async throws -> R {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue(label: label).async { continuation.resume(with: Result { try body() }) }
    }
  }
}
