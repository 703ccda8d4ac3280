internal import CoreMetrics
internal import DequeModule
internal import KafkaProtocol
internal import Logging
internal import Model
internal import NIOCore
internal import Storage

/// One client connection: frames in, requests started in Kafka's order, replies out in the order of the requests.
///
/// Kafka works on one request of a connection at a time. Produce requests may overlap each other here, since the storage lane keeps
/// their order and they share group commits; any other request waits for those before it and is waited for by those behind it.
// Safe because: every stored property is read and written on the channel's event loop only.
final class Connection: ChannelDuplexHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let broker: BrokerContext
  let loop: LoopState
  private(set) var clientHost = "unknown"
  private var context: ChannelHandlerContext?
  private var frames: FrameDecoder
  private(set) var waiting: Deque<ByteBuffer> = []
  private var waitingBytes = 0
  private var replies = ReplyQueue()
  /// Bytes of replies that `flush` has not been called for.
  private var unflushedBytes = 0
  /// Requests under way; all of one kind when they are produce requests, else exactly one.
  private var running = 0
  private var runningProduce = false
  /// Bytes of produce requests that the storage lanes hold.
  private var produceBytes = 0
  /// Bytes of a request that is being validated beside the loop.
  private var suspendedBytes = 0
  /// What the loop's budget has been told that the connection holds.
  private var countedBytes = 0
  private var isReadHeld = false
  private var isStarting = false
  private(set) var isDraining = false
  /// What came behind the frames in `waiting` and is none: the connection closes when they have been answered.
  private var unreadable: WireFailure?
  /// A request is being validated beside the loop; those behind it must not overtake it.
  private var isSuspended = false
  private var lastRequest: NIODeadline = .now()
  /// When bytes of a request came after none had been held.
  private var heldSince: NIODeadline = .now()
  /// The fetch that waits for records, to be given up when the client goes.
  var parkedFetch: FetchOperation?

  init(broker: BrokerContext, loop: LoopState) {
    self.broker = broker
    self.loop = loop
    frames = FrameDecoder(frameBytesMax: broker.configuration.requestBytesMax)
  }

  var isOpen: Bool { context != nil }
  /// Bytes of a request whose end is still to come.
  var arrivingBytes: Int { frames.bufferedBytes }

  // MARK: Channel events

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    clientHost = context.remoteAddress?.ipAddress ?? "unknown"
    loop.connections[ObjectIdentifier(self)] = self
  }

  func channelActive(context: ChannelHandlerContext) {
    clientHost = context.remoteAddress?.ipAddress ?? clientHost
    context.fireChannelActive()
    // Accepted just before the listener closed.
    if loop.isDraining { drain() }
  }

  func channelInactive(context: ChannelHandlerContext) {
    forget()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { forget() }

  private func forget() {
    guard self.context != nil else { return }
    self.context = nil
    dropWaiting()
    if loop.connections.removeValue(forKey: ObjectIdentifier(self)) != nil { broker.connectionClosed() }
    loop.forget(self)
    // No `channelReadComplete` follows, should this be the middle of a read cycle.
    loop.submitAppends()
    parkedFetch?.abandon()
  }

  private func dropWaiting() {
    waiting.removeAll()
    waitingBytes = 0
    frames = FrameDecoder(frameBytesMax: broker.configuration.requestBytesMax)
    countHeldBytes()
  }

  /// Tells the loop's budget what the connection holds now.
  private func countHeldBytes() {
    let now = frames.bufferedBytes + waitingBytes + suspendedBytes + produceBytes
    guard now != countedBytes else { return }
    if countedBytes == 0 { heldSince = .now() }
    let change = now - countedBytes
    countedBytes = now
    loop.requestBytesChanged(by: change)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    broker.logger.debug("connection failed", metadata: ["client": "\(clientHost)", "error": "\(error)"])
    context.close(promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    broker.metrics.bytesIn.increment(by: Int64(bytes.readableBytes))
    guard !isDraining, unreadable == nil else { return }
    frames.append(bytes)
    do throws(WireFailure) {
      while let frame = try nextFrame() {
        waiting.append(frame)
        waitingBytes += frame.readableBytes
        loop.finished(self)
      }
    } catch {
      unreadable = error
    }
    startWaiting()
    countHeldBytes()
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    loop.submitAppends()
    flush()
    context.fireChannelReadComplete()
  }

  /// Backpressure: the socket is not read while too much is on its way to the disk or waits for its turn.
  func read(context: ChannelHandlerContext) {
    if mayRead {
      context.read()
    } else {
      isReadHeld = true
      loop.hold(self)
    }
  }

  private var mayRead: Bool {
    wantsToRead && (!loop.budget.isExhausted || loop.budget.finishing == ObjectIdentifier(self))
  }

  /// Nothing of the connection's own is in the way of reading it.
  var wantsToRead: Bool {
    !isDraining && unreadable == nil && produceBytes + waitingBytes < Limits.produceBytesInFlightPerConnectionMax
      && waiting.count < Limits.requestsInFlightPerConnectionMax && running < Limits.requestsInFlightPerConnectionMax
      && context?.channel.isWritable == true
  }

  /// The client has read replies, or has stopped to: then no further request of its is started, lest the replies pile up here.
  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if context.channel.isWritable {
      startWaiting()
      loop.submitAppends()
      flush()
    }
    context.fireChannelWritabilityChanged()
  }

  /// Reads again if that was held back and there is room now.
  func resumeReading() {
    guard isReadHeld, let context else { return }
    guard mayRead else {
      if wantsToRead { loop.hold(self) }
      return
    }
    isReadHeld = false
    loop.budget.held.removeValue(forKey: ObjectIdentifier(self))
    context.read()
  }

  // MARK: Requests

  private func nextFrame() throws(WireFailure) -> ByteBuffer? {
    do { return try frames.next() } catch { throw WireFailure(reason: "\(error)") }
  }

  /// Bytes of replies that one read cycle gathers before it sends them.
  private static let unflushedBytesMax = 64 << 10

  /// Starts the requests whose turn it is.
  private func startWaiting() {
    guard !isStarting else { return }
    isStarting = true
    defer { isStarting = false }
    while !isDraining, !isSuspended, let frame = waiting.first {
      if unflushedBytes >= Self.unflushedBytesMax { flush() }
      guard let context, context.channel.isWritable else { return }
      let isProduce = frame.getInteger(at: frame.readerIndex, as: Int16.self) == APIKey.produce.rawValue
      guard running == 0 || (isProduce && runningProduce && running < Limits.requestsInFlightPerConnectionMax) else { return }
      waiting.removeFirst()
      waitingBytes -= frame.readableBytes
      runningProduce = isProduce
      running += 1
      lastRequest = .now()
      start(frame)
      if isSuspended { suspendedBytes = frame.readableBytes }
    }
    countHeldBytes()
    if waiting.isEmpty, !isDraining, let unreadable { refuse(unreadable.reason) }
  }

  /// Starts no further request until `resumeStarting`.
  func suspendStarting() { isSuspended = true }

  func resumeStarting() {
    isSuspended = false
    suspendedBytes = 0
    startWaiting()
    loop.submitAppends()
  }

  private func start(_ frame: ByteBuffer) {
    var body = frame
    let ticket = replies.reserve()
    do {
      let header = try RequestHeader.decode(from: &body)
      try dispatch(Call(connection: self, header: header, ticket: ticket, started: .now()), &body)
    } catch {
      running -= 1
      replies.fill(ticket, with: [])
      refuse("\(error)")
    }
  }

  /// What cannot be understood, or failed without a reply to say so, is answered as Kafka does: the connection is closed.
  /// The requests before it are answered first.
  func refuse(_ reason: String) {
    broker.metrics.refusedRequests.increment()
    broker.logger.debug("closing a connection", metadata: ["client": "\(clientHost)", "reason": "\(reason)"])
    drain()
    parkedFetch?.timeIsUp()
  }

  // MARK: Replies, on the loop

  /// The reply to a request is ready; nil where the request has none (produce with acks=0).
  func complete(_ call: Call, with reply: EncodedMessage?) {
    loop.eventLoop.preconditionInEventLoop()
    running -= 1
    broker.metrics.requestFinished(call)
    guard context != nil else { return }
    replies.fill(call.ticket, with: reply?.parts ?? [])
    unflushedBytes += reply?.byteCount ?? 0
    if isDraining, running == 0 {
      closeWhenSent()
    } else if !isStarting {
      loop.flushLater(self)
      startWaiting()
      loop.submitAppends()
    }
  }

  func produceStarted(bytes: Int) {
    produceBytes += bytes
    countHeldBytes()
  }

  func produceFinished(bytes: Int) {
    produceBytes -= bytes
    countHeldBytes()
    resumeReading()
  }

  /// Sends every reply whose turn has come.
  func flush() {
    guard let context else { return }
    unflushedBytes = 0
    var wrote = false
    var small = ByteBuffer()
    func writeSmall() {
      guard small.readableBytes > 0 else { return }
      broker.metrics.bytesOut.increment(by: Int64(small.readableBytes))
      context.write(wrapOutboundOut(small), promise: nil)
      small = ByteBuffer()
      wrote = true
    }
    while let reply = replies.next() {
      for var part in reply {
        if part.readableBytes <= 4096 {
          if small.readableBytes == 0 { small = part } else { small.writeBuffer(&part) }
        } else {
          writeSmall()
          broker.metrics.bytesOut.increment(by: Int64(part.readableBytes))
          context.write(wrapOutboundOut(part), promise: nil)
          wrote = true
        }
      }
    }
    writeSmall()
    if wrote { context.flush() }
    resumeReading()
  }

  /// Closes the connection if it has had nothing to say since `deadline`.
  func closeIfIdle(since deadline: NIODeadline) {
    if running == 0, replies.isEmpty, lastRequest < deadline { context?.close(promise: nil) }
  }

  /// Closes the connection if what it has sent of requests lies here since `deadline`: its client sends no more of them, or reads no replies.
  ///
  /// - Parameter lastSent: the last sign of life; nil for the start of a request.
  func closeIfStuck(since deadline: NIODeadline, lastSent: NIODeadline? = nil) {
    guard arrivingBytes + waitingBytes > 0, lastSent ?? max(lastRequest, heldSince) < deadline else { return }
    broker.logger.debug("closing a connection that holds memory others wait for", metadata: ["client": "\(clientHost)"])
    context?.close(promise: nil)
  }

  /// No further request is read or started; the connection closes when the last reply has left.
  func drain() {
    isDraining = true
    dropWaiting()
    if running == 0 { closeWhenSent() }
  }

  /// Closes as soon as the last byte of the replies has gone to the operating system.
  private func closeWhenSent() {
    flush()
    guard let context else { return }
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
  }
}

extension Connection {
  /// Closes without waiting for anything.
  func abort() { context?.close(promise: nil) }
}

/// Bytes that end a connection, in words for the log.
struct WireFailure: Error, CustomStringConvertible {
  let reason: String
  var description: String { reason }
}
