internal import KafkaClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Kept connections to the HTTP door of a node: one request at a time on each, short answers.
final class HTTPConnections: Sendable {
  struct Request: Sendable {
    var method: HTTPMethod
    /// With its query; `/v1/…`.
    var path: String
    var contentType: String?
    var body = ByteBuffer()
  }
  struct Answer: Sendable {
    var status: HTTPResponseStatus
    var body: ByteBuffer
  }
  /// There is no answer: whether the node acted on the request is not known, unless nobody was reached.
  struct Failure: Error { var message: String }

  private static let connectTimeout = TimeAmount.seconds(5)
  /// A request waits for its sync behind those of others.
  private static let answerTimeout = TimeAmount.seconds(60)
  static let answerBytesMax = 4 << 20

  private let server: ServerAddress
  private let idle = Mutex<[any Channel]>([])

  init(_ server: ServerAddress) { self.server = server }

  func close() {
    let channels = idle.withLock { idle in
      defer { idle = [] }
      return idle
    }
    for channel in channels { channel.close(promise: nil) }
  }

  /// - Throws: `Failure`; `CancellationError` if the task was cancelled, with the same uncertainty.
  func send(_ request: Request) async throws -> Answer {
    let channel = try await open()
    let promise = channel.eventLoop.makePromise(of: Answer.self)
    let timeout = channel.eventLoop.scheduleTask(in: Self.answerTimeout) {
      promise.fail(Failure(message: "\(self.server.authority) does not answer"))
    }
    let exchange = HTTPExchange(head: head(of: request), body: request.body, promise: promise)
    do {
      let answer = try await withTaskCancellationHandler {
        channel.writeAndFlush(exchange).cascadeFailure(to: promise)
        return try await promise.futureResult.get()
      } onCancel: {
        promise.fail(CancellationError())
      }
      timeout.cancel()
      idle.withLock { $0.append(channel) }
      return answer
    } catch {
      timeout.cancel()
      channel.close(promise: nil)
      if error is CancellationError || error is Failure { throw error }
      throw Failure(message: "\(server.authority) closed the connection without an answer")
    }
  }

  private func head(of request: Request) -> HTTPRequestHead {
    var head = HTTPRequestHead(version: .http1_1, method: request.method, uri: server.path + request.path)
    head.headers = [
      "Host": server.authority, "User-Agent": "quire/\(Quire.version)", "Content-Length": "\(request.body.readableBytes)",
    ]
    if let type = request.contentType { head.headers.add(name: "Content-Type", value: type) }
    return head
  }

  private func open() async throws -> any Channel {
    while let channel = idle.withLock({ $0.popLast() }) {
      if channel.isActive { return channel }
    }
    do {
      return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(Self.connectTimeout)
        .channelOption(.socketOption(.tcp_nodelay), value: 1)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            try channel.pipeline.syncOperations.addHandler(HTTPExchangeHandler())
          }
        }
        .connect(host: server.host, port: server.port).get()
    } catch {
      throw Failure(message: "cannot reach http://\(server.authority): \(ConnectFailure.reason(error))")
    }
  }
}

/// A request on its way, and who waits for the answer.
private struct HTTPExchange: Sendable {
  var head: HTTPRequestHead
  var body: ByteBuffer
  var promise: EventLoopPromise<HTTPConnections.Answer>
}

/// Writes a request and gathers its answer. A connection that ends, or whose answer is too long, fails who waits.
private final class HTTPExchangeHandler: ChannelDuplexHandler {
  typealias InboundIn = HTTPClientResponsePart
  typealias OutboundIn = HTTPExchange
  typealias OutboundOut = HTTPClientRequestPart

  private struct Gone: Error {}
  private var waiting: EventLoopPromise<HTTPConnections.Answer>?
  private var status: HTTPResponseStatus?
  private var body = ByteBuffer()

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let exchange = unwrapOutboundIn(data)
    waiting = exchange.promise
    status = nil
    body = ByteBuffer()
    context.write(wrapOutboundOut(.head(exchange.head)), promise: nil)
    if exchange.body.readableBytes > 0 { context.write(wrapOutboundOut(.body(.byteBuffer(exchange.body))), promise: nil) }
    context.write(wrapOutboundOut(.end(nil)), promise: promise)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      if head.status.code >= 200 { status = head.status }
    case .body(var bytes):
      guard body.readableBytes + bytes.readableBytes <= HTTPConnections.answerBytesMax else {
        return context.close(promise: nil)
      }
      body.writeBuffer(&bytes)
    case .end:
      guard let status else { return }
      let answered = waiting
      waiting = nil
      answered?.succeed(HTTPConnections.Answer(status: status, body: body))
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    fail(error)
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    fail(Gone())
    context.fireChannelInactive()
  }

  private func fail(_ error: any Error) {
    waiting?.fail(error)
    waiting = nil
  }
}
