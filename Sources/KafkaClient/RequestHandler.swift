internal import KafkaProtocol
internal import NIOCore

/// A request on its way: the frame, and who waits for the answer.
struct OutgoingRequest: Sendable {
  var frame: EncodedMessage
  var correlationID: Int32
  var timeout: TimeAmount
  /// Gets the response frame with its header.
  var promise: EventLoopPromise<ByteBuffer>
}

/// Writes requests, and gives each the response that comes back for it: a broker answers in the order of the requests.
///
/// The connection is useless after a response that is late or out of order, so it is closed then, and all who wait are told.
final class RequestHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = OutgoingRequest
  typealias OutboundOut = ByteBuffer

  private let address: BrokerAddress
  private var waiting = CircularBuffer<OutgoingRequest>()
  private var frames: FrameDecoder
  private var failure: KafkaClientError?

  init(address: BrokerAddress, frameBytesMax: Int) {
    self.address = address
    frames = FrameDecoder(frameBytesMax: frameBytesMax)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    let request = unwrapOutboundIn(data)
    guard context.channel.isActive else {
      request.promise.fail(disconnected)
      promise?.fail(disconnected)
      return
    }
    waiting.append(request)
    let channel = context.channel
    let late = KafkaClientError(.timedOut, "\(address) did not answer within \(request.timeout.nanoseconds / 1_000_000) ms")
    let timer = context.eventLoop.scheduleTask(in: request.timeout) {
      request.promise.fail(late)
      channel.close(promise: nil)
    }
    request.promise.futureResult.whenComplete { _ in timer.cancel() }
    for part in request.frame.parts.dropLast() { context.write(wrapOutboundOut(part), promise: nil) }
    if let last = request.frame.parts.last { context.write(wrapOutboundOut(last), promise: promise) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    frames.append(unwrapInboundIn(data))
    do {
      while let frame = try frames.next() {
        guard let request = waiting.first, frame.getInteger(at: frame.readerIndex) == request.correlationID else {
          return fail(context, malformed("a response that nobody asked for"))
        }
        waiting.removeFirst()
        request.promise.succeed(frame)
      }
    } catch {
      fail(context, malformed("\(error)"))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    while let request = waiting.popFirst() { request.promise.fail(failure ?? disconnected) }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

  private func fail(_ context: ChannelHandlerContext, _ error: KafkaClientError) {
    failure = error
    context.close(promise: nil)
  }

  private var disconnected: KafkaClientError { KafkaClientError(.disconnected, "\(address) closed the connection") }
  private func malformed(_ what: String) -> KafkaClientError {
    KafkaClientError(.malformedResponse, "\(address) does not speak Kafka's protocol: \(what)")
  }
}
