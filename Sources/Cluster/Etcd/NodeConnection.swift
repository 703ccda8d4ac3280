internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix

/// A connection over which nothing is said: it ends when the process on the other side does.
enum NodeConnection {
  enum End {
    /// There was one, and it has ended.
    case closed
    /// The machine is there, and says that nobody listens.
    case refused
    /// Nothing is known.
    case silent
  }

  /// Connects, and waits for the connection to end, or for the task to be cancelled.
  static func untilClosed(_ address: HostPort, patience: TimeAmount) async -> End {
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(patience)
        .connect(host: address.host, port: address.port).get()
    } catch { return isRefusal(error) ? .refused : .silent }
    await withTaskCancellationHandler {
      try? await channel.closeFuture.get()
    } onCancel: {
      channel.close(promise: nil)
    }
    return .closed
  }

  private static func isRefusal(_ error: any Error) -> Bool {
    func isRefusal(_ error: any Error) -> Bool {
      guard let error = error as? IOError else { return false }
      return error.errnoCode == ECONNREFUSED || error.errnoCode == ECONNRESET
    }
    // By name, every address it has was tried.
    if let error = error as? NIOConnectionError {
      return !error.connectionErrors.isEmpty && error.connectionErrors.allSatisfy { isRefusal($0.error) }
    }
    return isRefusal(error)
  }
}
