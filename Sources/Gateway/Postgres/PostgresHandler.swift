import Logging
import Model
import NIOCore

/// One connection on its event loop: takes bytes apart, hands messages to the session on a read thread, sends what comes back.
///
/// A session works in slices. The next begins when the client has taken the one before, so a slow client costs neither a thread nor
/// memory; its messages are read ahead up to a bound, so that its leaving is noticed.
final class PostgresHandler: ChannelInboundHandler, @unchecked Sendable {
  // Safe because: everything that changes is touched on the channel's event loop only; other threads call `loop.execute`.
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let history: PostgresHistory
  private let connections: PostgresConnections
  private let logger: Logger
  private let running = RunningStatement()
  private var decoder = FrontendDecoder()
  private var context: ChannelHandlerContext?
  private var session: PostgresSession?
  private var identity: PostgresIdentity?
  private var waiting: [FrontendMessage] = []
  private var waitingBytes = 0
  private var isWorking = false
  /// A slice is done and there is more; the client has not taken it yet.
  private var isHeldBack = false
  private var isStopping = false
  /// Nothing more is read or begun.
  private var isOver = false

  init(history: PostgresHistory, connections: PostgresConnections, logger: Logger) {
    self.history = history
    self.connections = connections
    self.logger = logger
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isOver { return }
    let bytes = unwrapInboundIn(data)
    waitingBytes += bytes.readableBytes
    decoder.append(bytes)
    do throws(ProtocolViolation) {
      while !isOver, let item = try decoder.next() {
        switch item {
        case .startup(let request): start(request, context)
        case .message(let message): waiting.append(message)
        }
      }
    } catch {
      // What was said before it is answered no more: the stream's meaning is lost.
      return end(PostgresError(error.code, error.message), context)
    }
    holdReads(context)
    work()
  }

  /// Stops reading while much waits, and goes on when it is answered.
  private func holdReads(_ context: ChannelHandlerContext) {
    if waiting.isEmpty { waitingBytes = decoder.pendingBytes }
    let mayRead = waitingBytes < Limits.postgresPendingBytesMax || waiting.isEmpty
    context.channel.setOption(.autoRead, value: mayRead).whenFailure { _ in }
  }

  // Start-up

  private func start(_ request: StartupRequest, _ context: ChannelHandlerContext) {
    switch request {
    case .encryption:
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "N")), promise: nil)
    case .cancel(let processID, let secret):
      connections.cancel(processID: processID, secret: secret)
      isOver = true
      context.close(promise: nil)
    case .session(let minorVersion, let parameters):
      do throws(PostgresError) {
        if parameters["replication"].map({ !["false", "off", "no", "0"].contains($0) }) ?? false {
          throw PostgresError(.featureNotSupported, "replication connections are not supported")
        }
        let settings = try PostgresSettings(startup: parameters)
        let loop = context.eventLoop
        let identity = try connections.admit(running) { [weak self] in
          guard let handler = self else { return }
          loop.execute { handler.stop() }
        }
        self.identity = identity
        let session = PostgresSession(history: history, settings: settings, identity: identity, running: running)
        self.session = session
        var out = ByteBuffer()
        let unknown = parameters.keys.filter { $0.hasPrefix("_pq_.") }.sorted()
        if minorVersion > 0 || !unknown.isEmpty { out.writeNegotiateProtocolVersion(unknownOptions: unknown) }
        session.greet(into: &out)
        context.writeAndFlush(wrapOutboundOut(out), promise: nil)
      } catch {
        end(error, context)
      }
    }
  }

  /// Says why the connection ends, and ends it.
  private func end(_ error: PostgresError, _ context: ChannelHandlerContext) {
    isOver = true
    waiting = []
    running.abandon()
    var out = ByteBuffer()
    out.writeError(error, severity: "FATAL")
    let channel = context.channel
    context.writeAndFlush(wrapOutboundOut(out)).whenComplete { _ in channel.close(promise: nil) }
  }

  // Work

  private func work() {
    guard !isWorking, !isHeldBack, !isOver || !(context?.channel.isActive ?? false), let session, let context else { return }
    guard !waiting.isEmpty else {
      if isStopping { end(PostgresError(.adminShutdown, "terminating connection due to administrator command"), context) }
      return
    }
    begin(session, context)
  }

  private func begin(_ session: PostgresSession, _ context: ChannelHandlerContext) {
    let messages = waiting
    waiting = []
    isWorking = true
    isHeldBack = false
    let loop = context.eventLoop
    history.runOnReadThread {
      var out = ByteBuffer()
      let progress = session.work(messages, into: &out)
      let answer = out
      loop.execute { self.worked(progress, answer) }
    }
  }

  private func worked(_ progress: PostgresSession.Progress, _ answer: ByteBuffer) {
    isWorking = false
    guard let context, context.channel.isActive, !isOver else { return dispose() }
    if answer.readableBytes > 0 { context.writeAndFlush(wrapOutboundOut(answer), promise: nil) }
    switch progress {
    case .closed:
      isOver = true
      context.close(promise: nil)
    case .more:
      isHeldBack = true
      goOn(context)
    case .idle:
      holdReads(context)
      work()
    }
  }

  private func goOn(_ context: ChannelHandlerContext) {
    guard isHeldBack, !isWorking, context.channel.isWritable, let session else { return }
    begin(session, context)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    goOn(context)
    context.fireChannelWritabilityChanged()
  }

  /// The node stops: what runs may end, nothing new begins.
  private func stop() {
    isStopping = true
    work()
  }

  func channelInactive(context: ChannelHandlerContext) {
    isOver = true
    running.abandon()
    if !isWorking { dispose() }
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    logger.debug("a Postgres connection failed", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  /// Lets go of what the session holds, on a thread that may wait for the disk.
  private func dispose() {
    guard let session else {
      if let identity { connections.remove(identity) }
      return
    }
    self.session = nil
    let identity = identity
    history.runOnReadThread { [connections] in
      session.dispose()
      if let identity { connections.remove(identity) }
    }
  }
}
