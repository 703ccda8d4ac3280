internal import CoreMetrics
internal import Model
internal import NIOCore

/// One end of a conversation, on its connection's event loop.
protocol PeerRole: AnyObject {
  func opened(_ connection: PeerConnection) throws(PeerRefusal)
  /// - Parameter payload: of a frame.
  func received(_ payload: ByteBuffer) throws(PeerRefusal)
  /// More may be written.
  func writable()
  /// Called a few times a second.
  func tick(_ now: NIODeadline)
  /// The last call.
  func closed(_ reason: PeerRefusal)
}

/// A connection between two nodes: frames in and out, and whether the other one lives.
///
// Safe because: every stored property is read and written on the channel's event loop only.
final class PeerConnection: ChannelInboundHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let channel: any Channel
  private let timing: PeerTiming
  private let metrics: ShippingMetrics
  private let role: any PeerRole
  private var frames = PeerFrameDecoder(bytesMax: Limits.peerGreetingBytesMax)
  private var reason: PeerRefusal?
  private var isClosed = false
  private var needsFlush = false
  private var isGreeting = true
  private let openedAt: NIODeadline
  private var lastReceived: NIODeadline
  private var lastSent: NIODeadline
  private var lastTick: NIODeadline
  /// Since when nothing more can be written, or a frame's end is missing.
  private var unwritableSince: NIODeadline?
  private var incompleteSince: NIODeadline?

  init(_ channel: any Channel, role: any PeerRole, timing: PeerTiming, metrics: ShippingMetrics) {
    self.channel = channel
    self.role = role
    self.timing = timing
    self.metrics = metrics
    openedAt = .now()
    lastReceived = openedAt
    lastSent = openedAt
    lastTick = openedAt
  }

  var loop: any EventLoop { channel.eventLoop }
  var isWritable: Bool { !isClosed && channel.isWritable }
  var remoteAddress: String { channel.remoteAddress?.description ?? "unknown" }

  /// Whether the other end is on this machine.
  var isLoopback: Bool {
    guard let address = channel.remoteAddress else { return false }
    if case .unixDomainSocket = address { return true }
    guard let ip = address.ipAddress else { return false }
    return ip.hasPrefix("127.") || ip == "::1" || ip.hasPrefix("::ffff:127.")
  }

  /// Both know whom they speak to: frames may be longer, and the time for the greeting does not count any more.
  func greeted() {
    isGreeting = false
    frames.bytesMax = Limits.peerFrameBytesMax
  }

  /// Writes a message; it leaves with what else is written in this turn of the loop.
  ///
  /// - Returns: bytes of the frame.
  @discardableResult
  func send(_ message: PeerMessage) -> Int {
    if isClosed { return 0 }
    let (frame, rest) = PeerFrame.encodeInParts(message)
    let byteCount = frame.readableBytes + (rest?.readableBytes ?? 0)
    guard byteCount - PeerFrame.headerBytes <= Limits.peerFrameBytesMax else {
      close(PeerRefusal(.tooMuch, "a message of \(byteCount) bytes"))
      return 0
    }
    lastSent = .now()
    metrics.sentBytes.increment(by: Int64(byteCount))
    channel.write(frame, promise: nil)
    if let rest { channel.write(rest, promise: nil) }
    if !needsFlush {
      needsFlush = true
      loop.execute { self.flush() }
    }
    return byteCount
  }

  private func flush() {
    guard needsFlush else { return }
    needsFlush = false
    channel.flush()
  }

  /// Tells the peer why, and closes.
  func close(_ reason: PeerRefusal) {
    if self.reason == nil { self.reason = reason }
    if isClosed { return }
    let frame = PeerFrame.encode(.goodbye(reason))
    isClosed = true
    channel.writeAndFlush(frame, promise: nil)
    channel.close(promise: nil)
  }

  // Channel events

  func channelActive(context: ChannelHandlerContext) {
    do throws(PeerRefusal) { try role.opened(self) } catch { close(error) }
    tickLater()
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosed { return }
    let bytes = unwrapInboundIn(data)
    metrics.receivedBytes.increment(by: Int64(bytes.readableBytes))
    lastReceived = .now()
    frames.append(bytes)
    do throws(PeerRefusal) {
      while !isClosed, let payload = try nextPayload() {
        incompleteSince = nil
        try role.received(payload)
      }
    } catch { close(error) }
    if frames.bufferedBytes == 0 { incompleteSince = nil } else if incompleteSince == nil { incompleteSince = lastReceived }
  }

  private func nextPayload() throws(PeerRefusal) -> ByteBuffer? {
    do { return try frames.next() } catch { throw .malformed("bytes that are no frame: \(error)") }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    flush()
    context.fireChannelReadComplete()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    unwritableSince = channel.isWritable ? nil : .now()
    if isWritable { role.writable() }
    context.fireChannelWritabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if reason == nil { reason = PeerRefusal(.disconnected, "the connection failed: \(error)") }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    isClosed = true
    role.closed(reason ?? PeerRefusal(.disconnected, "the peer closed the connection"))
    context.fireChannelInactive()
  }

  // Life

  private func tickLater() {
    loop.scheduleTask(in: timing.tickInterval) {
      guard self.channel.isActive else { return }
      self.tick(.now())
      self.tickLater()
    }
  }

  private func tick(_ now: NIODeadline) {
    if isClosed { return }
    // This node itself stood still: what the peer has sent meanwhile is read first.
    let isLate = now - lastTick > TimeAmount(timing.deadAfter / 2)
    lastTick = now
    if isLate { return }
    if isGreeting {
      if now - openedAt > TimeAmount(timing.greetingWithin) { close(PeerRefusal(.silent, "the greeting takes too long")) }
      return
    }
    let stalledAfter = TimeAmount(timing.stalledAfter)
    if now - lastReceived > TimeAmount(timing.deadAfter) {
      close(PeerRefusal(.silent, "nothing was heard for \((now - lastReceived).nanoseconds / 1_000_000) ms"))
    } else if let since = unwritableSince ?? incompleteSince, now - since > stalledAfter {
      close(PeerRefusal(.silent, "the peer takes nothing, or does not finish what it says"))
    } else {
      role.tick(now)
      // Not a whole interval, because this may come once in an interval.
      if isWritable, (now - lastSent) * 4 >= timing.pingInterval * 3 { send(.ping) }
    }
  }
}
