internal import Dispatch
internal import Glibc
internal import Synchronization

/// The bytes of standard input or a file, read ahead on a thread of their own because reading blocks.
final class InputChunks: Sendable {
  private static let chunkBytes = 256 << 10
  /// Chunks read ahead.
  private static let chunksMax = 8

  private struct State {
    var chunks: [[UInt8]] = []
    var isAtEnd = false
    var failure: CommandFailure?
    var waiting: CheckedContinuation<Void, Never>?
  }

  private let descriptor: CInt
  private let state = Mutex(State())
  /// One for each chunk there is room for. Begins at 0, because libdispatch refuses to free one below the value it began with.
  private let room = DispatchSemaphore(value: 0)

  /// - Parameter path: nil for standard input.
  init(path: String?) throws {
    if let path {
      descriptor = open(path, O_RDONLY | O_CLOEXEC)
      if descriptor < 0 { throw CommandFailure("cannot read '\(path)': \(systemError())") }
    } else {
      descriptor = STDIN_FILENO
    }
    for _ in 0..<Self.chunksMax { room.signal() }
    DispatchQueue(label: "input").async { self.readAll() }
  }

  private func readAll() {
    while true {
      room.wait()
      var failure: CommandFailure?
      let chunk = [UInt8](unsafeUninitializedCapacity: Self.chunkBytes) { buffer, count in
        while true {
          let result = read(descriptor, buffer.baseAddress!, Self.chunkBytes)
          if result < 0, errno == EINTR { continue }
          if result < 0 { failure = CommandFailure("cannot read the input: \(systemError())") }
          count = max(0, result)
          return
        }
      }
      let waiting = state.withLock { state in
        if chunk.isEmpty { state.isAtEnd = true } else { state.chunks.append(chunk) }
        state.failure = failure
        defer { state.waiting = nil }
        return state.waiting
      }
      waiting?.resume()
      if chunk.isEmpty { return }
    }
  }

  /// Whether nothing is there to be taken at once.
  var isEmpty: Bool { state.withLock { $0.chunks.isEmpty && !$0.isAtEnd } }

  /// The next bytes; nil at the end.
  func next() async throws -> [UInt8]? {
    while true {
      try Task.checkCancellation()
      let taken: [UInt8]?? = try state.withLock { state in
        if !state.chunks.isEmpty { return .some(state.chunks.removeFirst()) }
        if let failure = state.failure { throw failure }
        return state.isAtEnd ? .some(nil) : nil
      }
      if let taken {
        room.signal()
        return taken
      }
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            if !state.chunks.isEmpty || state.isAtEnd || Task.isCancelled { return true }
            state.waiting = continuation
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        state.withLock { state in
          defer { state.waiting = nil }
          return state.waiting
        }?.resume()
      }
    }
  }
}
