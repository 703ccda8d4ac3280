import KafkaProtocol
import NIOCore
import NIOPosix
import Synchronization

/// A TCP client that sends what a test wants, and hands out the frames that come back.
final class RawClient: Sendable {
  private let channel: any Channel
  private let inbox: Inbox
  private let nextCorrelationID = Atomic<Int32>(1000)

  struct Silence: Error {}
  struct Closed: Error {}

  private init(_ channel: any Channel, _ inbox: Inbox) {
    self.channel = channel
    self.inbox = inbox
  }

  /// - Parameter reading: whether it reads the socket before `beginReading`.
  static func connect(to port: Int, reading: Bool = true) async throws -> RawClient {
    let inbox = Inbox()
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: reading)
      .channelOption(.tcpOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(inbox)) }
      }
      .connect(host: "127.0.0.1", port: port).get()
    return RawClient(channel, inbox)
  }

  func beginReading() async throws {
    try await channel.setOption(.autoRead, value: true).get()
    channel.read()
  }

  func close() async { try? await channel.close().get() }

  func send(_ bytes: ByteBuffer) async throws { try await channel.writeAndFlush(bytes).get() }
  /// Does not wait for the bytes to be taken.
  func sendLater(_ bytes: ByteBuffer) { channel.writeAndFlush(bytes, promise: nil) }
  func send(bytes: [UInt8]) async throws { try await send(ByteBuffer(bytes: bytes)) }

  /// A request's frame, its length included.
  static func frame<Q: KafkaRequest>(_ request: Q, version: Int16, correlationID: Int32) -> ByteBuffer {
    KafkaMessageCodec.encodeRequest(request, version: version, correlationID: correlationID, clientID: "test").joined
  }

  /// A frame of a header alone, with whatever key and version, and `body`.
  static func frame(key: Int16, version: Int16, correlationID: Int32 = 7, body: [UInt8] = []) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.writeInteger(Int32(10 + body.count))
    frame.writeInteger(key)
    frame.writeInteger(version)
    frame.writeInteger(correlationID)
    frame.writeInteger(Int16(-1))
    frame.writeBytes(body)
    return frame
  }

  /// The next frame, without its length; nil when the broker has closed the connection.
  ///
  /// - Throws: `Silence` if nothing comes for so long.
  func next(within patience: Duration = .seconds(20)) async throws -> ByteBuffer? {
    let deadline = ContinuousClock.now + patience
    while true {
      if let frame = inbox.pop() { return frame }
      if inbox.isClosed { return inbox.pop() }
      if ContinuousClock.now >= deadline { throw Silence() }
      try await Task.sleep(for: .milliseconds(1))
    }
  }

  func isClosed(within patience: Duration = .seconds(5)) async throws -> Bool {
    do { return try await next(within: patience) == nil } catch is Silence { return false }
  }

  /// Reads the reply to a request of this kind.
  func reply<Q: KafkaRequest>(to _: Q.Type, version: Int16) async throws -> (correlationID: Int32, response: Q.Response) {
    guard var frame = try await next() else { throw Closed() }
    return try KafkaMessageCodec.decodeResponse(Q.Response.self, from: &frame, version: version)
  }

  func ask<Q: KafkaRequest>(_ request: Q, version: Int16) async throws -> Q.Response {
    let id = nextCorrelationID.add(1, ordering: .relaxed).newValue
    try await send(Self.frame(request, version: version, correlationID: id))
    return try await reply(to: Q.self, version: version).response
  }

  private final class Inbox: Sendable {
    private struct State {
      var frames: [ByteBuffer] = []
      var isClosed = false
    }
    private let state = Mutex(State())
    var isClosed: Bool { state.withLock { $0.isClosed } }
    func put(_ frame: ByteBuffer) { state.withLock { $0.frames.append(frame) } }
    func close() { state.withLock { $0.isClosed = true } }
    func pop() -> ByteBuffer? { state.withLock { $0.frames.isEmpty ? nil : $0.frames.removeFirst() } }
  }

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let inbox: Inbox
    private var decoder = FrameDecoder()

    init(_ inbox: Inbox) { self.inbox = inbox }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      decoder.append(unwrapInboundIn(data))
      while let frame = try? decoder.next() { inbox.put(frame) }
    }
    func channelInactive(context: ChannelHandlerContext) { inbox.close() }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
}
