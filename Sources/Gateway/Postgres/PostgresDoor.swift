public import Logging
public import Model
public import NIOCore
import NIOPosix
public import ServiceLifecycle
import Synchronization

/// Where the Postgres door listens and how much it takes on.
public struct PostgresConfiguration: Sendable {
  public var listen: HostPort
  /// A further connection is refused.
  public var connectionsMax: Int

  public init(listen: HostPort, connectionsMax: Int) {
    self.listen = listen
    self.connectionsMax = connectionsMax
  }
}

/// The Postgres door: SQL for every tool that speaks to a Postgres server.
public final class PostgresDoor: Service {
  /// How long a stopping node lets queries go on, and how long it waits for connections after that.
  private static let drainTime = Duration.seconds(5)
  private static let closingTime = Duration.seconds(3)

  private let configuration: PostgresConfiguration
  private let history: PostgresHistory
  private let group: any EventLoopGroup
  private let logger: Logger
  private let connections: PostgresConnections
  private let started: @Sendable (HostPort) -> Void

  /// - Parameter started: called once with the address that was bound.
  public init(
    configuration: PostgresConfiguration, history: PostgresHistory, group: any EventLoopGroup, logger: Logger,
    started: @escaping @Sendable (HostPort) -> Void
  ) {
    self.configuration = configuration
    self.history = history
    self.group = group
    self.logger = logger
    self.started = started
    connections = PostgresConnections(max: configuration.connectionsMax)
  }

  /// Serves until the service group shuts down.
  ///
  /// - Throws: when the address cannot be bound.
  public func run() async throws {
    let listener = try await ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A client whose machine is gone sends no FIN, and may hold a cut of history.
      .childChannelOption(.socketOption(.so_keepalive), value: 1)
      .childChannelInitializer { [history, connections, logger] channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            PostgresHandler(history: history, connections: connections, logger: logger))
        }
      }
      .bind(host: configuration.listen.host, port: configuration.listen.port).get()
    started(HostPort(host: configuration.listen.host, port: listener.localAddress?.port ?? configuration.listen.port))
    try? await gracefulShutdown()
    try? await listener.close()
    connections.stop()
    let isDrained = await connections.areGone(within: Self.drainTime)
    if !isDrained { connections.abandon() }
    if !isDrained, await !connections.areGone(within: Self.closingTime) {
      logger.warning("Postgres connections were still open when the node stopped")
    }
  }
}

/// The connections there are, by the number that clients know them by.
final class PostgresConnections: Sendable {
  /// What others may do to a connection.
  struct Entry: Sendable {
    var secret: UInt32
    var running: RunningStatement
    /// Ends it once it has nothing to do.
    var stop: @Sendable () -> Void
  }

  private struct State {
    var entries: [UInt32: Entry] = [:]
    var nextProcessID: UInt32 = 1
    var isStopping = false
  }

  private let max: Int
  private let state = Mutex(State())

  init(max: Int) { self.max = max }

  /// - Returns: who it is from now on.
  /// - Throws: when there is no room for it.
  func admit(
    _ running: RunningStatement, stop: @escaping @Sendable () -> Void
  ) throws(PostgresError) -> PostgresIdentity {
    let identity = state.withLock { state -> Result<PostgresIdentity, PostgresError> in
      if state.isStopping { return .failure(PostgresError(.adminShutdown, "the node is stopping")) }
      guard state.entries.count < max else {
        return .failure(PostgresError(.tooManyConnections, "sorry, too many clients already"))
      }
      while state.entries[state.nextProcessID] != nil || state.nextProcessID == 0 { state.nextProcessID &+= 1 }
      var random = SystemRandomNumberGenerator()
      let identity = PostgresIdentity(
        processID: state.nextProcessID, secret: UInt32.random(in: 1...UInt32.max, using: &random))
      state.nextProcessID &+= 1
      state.entries[identity.processID] = Entry(secret: identity.secret, running: running, stop: stop)
      return .success(identity)
    }
    return try identity.get()
  }

  func remove(_ identity: PostgresIdentity) { state.withLock { $0.entries[identity.processID] = nil } }

  /// Stops what a connection runs, if the secret is its own. Whoever asks is not told.
  func cancel(processID: UInt32, secret: UInt32) {
    let entry = state.withLock { $0.entries[processID] }
    if let entry, entry.secret == secret { entry.running.cancel() }
  }

  func stop() {
    let entries = state.withLock { state in
      state.isStopping = true
      return Array(state.entries.values)
    }
    for entry in entries { entry.stop() }
  }

  func abandon() {
    for entry in state.withLock({ Array($0.entries.values) }) { entry.running.abandon() }
  }

  func areGone(within time: Duration) async -> Bool {
    let deadline = ContinuousClock.now + time
    while !state.withLock({ $0.entries.isEmpty }) {
      if ContinuousClock.now >= deadline { return false }
      try? await Task.sleep(for: .milliseconds(20))
    }
    return true
  }
}
