import Hummingbird
public import Logging
public import Model
public import NIOCore
public import Query
public import ServiceLifecycle
import Synchronization

/// Where the gateway listens and how much it takes on.
public struct GatewayConfiguration: Sendable {
  public var listen: HostPort
  /// Further names of this node that clients may use in a Host header.
  public var advertisedHosts: [String]
  /// Statements and exports at once; a further one is answered 503.
  public var concurrentQueriesMax: Int
  /// Besides, statements at once that are followed.
  public var followedQueriesMax: Int
  /// How long a client may take nothing of an answer that waits for it.
  public var stallTime: Duration

  public init(
    listen: HostPort, advertisedHosts: [String], concurrentQueriesMax: Int,
    followedQueriesMax: Int = Limits.queryFollowersMax, stallTime: Duration = .milliseconds(Limits.queryStallMilliseconds)
  ) {
    self.listen = listen
    self.advertisedHosts = advertisedHosts
    self.concurrentQueriesMax = concurrentQueriesMax
    self.followedQueriesMax = followedQueriesMax
    self.stallTime = stallTime
  }
}

/// What the gateway asks the rooms behind it. Both functions block the read thread they run on, and write as they go.
public struct HistoryDoors: Sendable {
  /// Runs one statement. Throws what went wrong, in words for the client.
  public var query: @Sendable (QueryRequest, StreamedOutput) throws -> Void
  /// Writes a range of topics.
  public var export: @Sendable (ExportRequest, StreamedOutput) throws -> Void
  /// Runs work on a thread that may block.
  public var runOnReadThread: @Sendable (@escaping @Sendable () -> Void) -> Void
  /// The statements that run.
  public var queries: QueryRegistry
  /// The logs of mirrors; nil where nobody may bring any.
  public var mirrors: (any MirrorLogs)?
  /// What is said of the cluster; nil for nothing.
  public var cluster: (any ClusterDoor)?
  /// Milliseconds since 1970.
  public var now: @Sendable () -> Int64

  public init(
    query: @escaping @Sendable (QueryRequest, StreamedOutput) throws -> Void,
    export: @escaping @Sendable (ExportRequest, StreamedOutput) throws -> Void,
    runOnReadThread: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void, queries: QueryRegistry = QueryRegistry(),
    mirrors: (any MirrorLogs)? = nil, now: @escaping @Sendable () -> Int64 = { 0 }
  ) {
    self.query = query
    self.export = export
    self.runOnReadThread = runOnReadThread
    self.queries = queries
    self.mirrors = mirrors
    self.now = now
  }
}

/// The HTTP door: health, metrics, SQL and export.
public final class Gateway: Service {
  private let configuration: GatewayConfiguration
  private let metrics: MetricsRegistry
  private let readiness: @Sendable () -> String?
  private let history: HistoryRoutes
  private let queries: QueryRoutes
  private let mirrors: MirrorRoutes?
  private let cluster: ClusterRoutes?
  private let group: any EventLoopGroup
  private let logger: Logger
  private let started = Mutex<Announcement?>(nil)

  private struct Announcement {
    let call: @Sendable (HostPort) -> Void
  }

  /// - Parameters:
  ///   - readiness: nil when the node serves, else what it is doing instead.
  ///   - started: called once with the address that was bound.
  public init(
    configuration: GatewayConfiguration, doors: HistoryDoors, metrics: MetricsRegistry,
    readiness: @escaping @Sendable () -> String?, group: any EventLoopGroup, logger: Logger,
    started: @escaping @Sendable (HostPort) -> Void
  ) {
    self.configuration = configuration
    self.metrics = metrics
    self.readiness = readiness
    self.history = HistoryRoutes(doors: doors, configuration, logger: logger)
    self.queries = QueryRoutes(registry: doors.queries)
    self.mirrors = doors.mirrors.map { MirrorRoutes(logs: $0) }
    self.cluster = doors.cluster.map { ClusterRoutes(door: $0) }
    self.group = group
    self.logger = logger
    self.started.withLock { $0 = Announcement(call: started) }
  }

  /// Serves until the service group shuts down. Statements that still run `HistoryRoutes.drainTime` later are interrupted.
  ///
  /// - Throws: when the address cannot be bound.
  public func run() async throws {
    var quiet = logger
    // The framework announces itself; the node says what is ready.
    quiet.logLevel = max(logger.logLevel, .warning)
    let application = Application(
      router: router(),
      server: .http1(configuration: .init(additionalChannelHandlers: [DisconnectWatch()], idleTimeout: .seconds(60))),
      configuration: ApplicationConfiguration(
        address: .hostname(configuration.listen.host, port: configuration.listen.port), serverName: "quire"),
      onServerRunning: { channel in self.announce(channel.localAddress) },
      eventLoopGroupProvider: .shared(group),
      logger: quiet)
    try await withGracefulShutdownHandler {
      try await application.run()
    } onGracefulShutdown: {
      self.history.drain(over: self.group)
    }
    await history.areDone()
  }

  private func announce(_ address: SocketAddress?) {
    let announcement = started.withLock { announcement in
      defer { announcement = nil }
      return announcement
    }
    announcement?.call(HostPort(host: configuration.listen.host, port: address?.port ?? configuration.listen.port))
  }

  func router() -> Router<GatewayContext> {
    let router = Router(context: GatewayContext.self)
    router.middlewares.add(RequestCount(metrics: metrics))
    router.middlewares.add(
      RequestGuard(listen: configuration.listen, advertisedHosts: configuration.advertisedHosts))
    for route in GatewayRoute.allCases {
      router.on(RouterPath(route.routerPath), method: route.method) { request, context in
        try await self.answer(route, request, context)
      }
    }
    return router
  }

  private func answer(_ route: GatewayRoute, _ request: Request, _ context: GatewayContext) async throws -> Response {
    switch route {
    case .health: return JSONReply.reply(.ok, "{\"status\":\"ok\"}\n")
    case .ready:
      guard let reason = readiness() else { return JSONReply.reply(.ok, "{\"status\":\"ready\"}\n") }
      return JSONReply.reply(.serviceUnavailable, "{\"status\":\(JSONText.string(reason))}\n")
    case .metrics:
      return Response(
        status: .ok, headers: [.contentType: PrometheusText.contentType],
        body: ResponseBody(byteBuffer: ByteBuffer(string: PrometheusText.render(metrics))))
    case .query: return try await history.query(request, context)
    case .follow: return try await history.follow(request, context)
    case .queries: return queries.list()
    case .cancelQuery: return queries.cancel(context.parameters.get("id"))
    case .export: return try await history.export(request, context)
    case .mirror, .beginMirror, .appendMirror:
      guard let mirrors else { return JSONReply.error(.notFound, "this node takes no mirrors") }
      return await mirrors.answer(route, request, context)
    case .cluster, .promote, .forgetStandby:
      guard let cluster else { return JSONReply.error(.notFound, "this node knows no cluster") }
      return switch route {
      case .promote: await cluster.promote(request)
      case .forgetStandby: await cluster.forgetStandby()
      default: await cluster.status()
      }
    case .openAPI: return JSONReply.reply(.ok, OpenAPIDocument.text)
    }
  }
}
