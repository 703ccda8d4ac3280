internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A connection to another node's Kafka door, over which it is asked twice a second whether it is there. It ends when the process on the other side
/// does, or says nothing any more: because it is stopped, or cut off.
enum NodeConnection {
  enum End {
    /// There was one, and it has ended.
    case closed
    /// The machine is there, and says that nobody listens.
    case refused
    /// There was one, and nothing came over it any more.
    case mute
    /// Nothing is known.
    case silent
  }

  /// Connects, and waits for the connection to end, or for the task to be cancelled.
  ///
  /// - Parameters:
  ///   - patience: for connecting.
  ///   - heard: called with each sign of life, on an event loop.
  static func untilClosed(
    _ address: HostPort, patience: TimeAmount, heard: @escaping @Sendable () -> Void
  ) async -> End {
    let isMute = MuteMark()
    let channel: any Channel
    do {
      channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(patience)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Pulse(heard: heard, mute: { isMute.set() }))
          }
        }
        .connect(host: address.host, port: address.port).get()
    } catch { return isRefusal(error) ? .refused : .silent }
    await withTaskCancellationHandler {
      try? await channel.closeFuture.get()
    } onCancel: {
      channel.close(promise: nil)
    }
    return isMute.isSet ? .mute : .closed
  }

  private final class MuteMark: Sendable {
    private let mark = Atomic<Bool>(false)
    func set() { mark.store(true, ordering: .releasing) }
    var isSet: Bool { mark.load(ordering: .acquiring) }
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

/// Asks for the versions that are served, the smallest question of Kafka's, and counts how often it looks in vain for an answer.
///
/// Looks are counted, not time: a node that stood still itself, or is late because the machine is busy, has not listened meanwhile.
private final class Pulse: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private static let interval = TimeAmount.milliseconds(250)
  /// So many looks in vain are silence: two seconds.
  private static let looksMax = 8
  /// ApiVersions, version 0, without a client id.
  private static let question: [UInt8] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]

  private let heard: @Sendable () -> Void
  private let mute: @Sendable () -> Void
  private var looks = 0
  private var isAsked = false
  private var ticks: RepeatedTask?

  init(heard: @escaping @Sendable () -> Void, mute: @escaping @Sendable () -> Void) {
    self.heard = heard
    self.mute = mute
  }

  func channelActive(context: ChannelHandlerContext) {
    ask(context)
    let this = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    ticks = context.eventLoop.scheduleRepeatedTask(initialDelay: Self.interval, delay: Self.interval) { _ in
      let (pulse, context) = this.value
      pulse.look(context)
    }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    ticks?.cancel()
    ticks = nil
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    (looks, isAsked) = (0, false)
    heard()
  }

  private func look(_ context: ChannelHandlerContext) {
    looks += 1
    if looks > Self.looksMax {
      mute()
      context.close(promise: nil)
    } else if !isAsked, looks > 1 {
      ask(context)
    }
  }

  private func ask(_ context: ChannelHandlerContext) {
    isAsked = true
    context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: Self.question)), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
