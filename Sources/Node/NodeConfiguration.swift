public import Model

/// Everything a node is told at its start, checked.
public struct NodeConfiguration: Sendable {
  /// Every key that was given, by canonical name; what was not has its default.
  public internal(set) var settings: NodeSettings
  public var nodeID: NodeID
  public var dataDirectory: String
  /// Where Kafka clients connect; port 0 takes a free one.
  public var listen: HostPort
  /// Where Kafka clients are told to connect; nil for the listener's own address. Port 0 stands for the listener's.
  public var advertised: HostPort?
  /// Nil when there is no HTTP interface.
  public var http: HostPort?
  /// Nil when there is no Postgres interface.
  public var postgres: HostPort?
  /// Where other nodes connect; nil when they do not.
  public var peer: PeerAddress?
  /// The leader whose standby this node is; nil for a node that leads, or was told before.
  public var standbyOf: HostPort?
  /// False where `nodeID` is a default, which a data directory that has another number goes before.
  var isNodeIDGiven: Bool
  /// The file with the secret that nodes share; nil for none.
  public var peerSecretFile: String?
  /// Where several nodes share what their cluster is; nil for a node that is alone.
  public var etcd: EtcdAddress?
  public var rack: String?
  public var logsJSON: Bool
  public var logLevel: String
  /// What was odd but is no error, for the log.
  public internal(set) var warnings: [String] = []

  /// Puts the layers together: a flag goes before a `QUIRE_…` variable, that before the file, that before the default.
  ///
  /// - Parameters:
  ///   - flags: canonical names or aliases; the last of two with the same meaning counts.
  ///   - configurationFile: path of a file of `key=value` lines.
  ///   - environment: all of the process's; `QUIRE_LOG_RETENTION_MS` is `log.retention.ms`, `QUIRE_DURABILITY` is `quire.durability`.
  /// - Throws: `NodeStartError` naming the first thing that is wrong.
  public static func resolve(
    flags: [(key: String, value: String)], configurationFile: String?, environment: [String: String]
  ) throws -> NodeConfiguration {
    var fixed: [String: String] = [:]
    if let path = configurationFile {
      for line in try ConfigurationFile.read(path) { try set(line.key, line.value, from: "\(path):\(line.number)", in: &fixed) }
    }
    let (given, warnings) = EnvironmentKeys.settings(in: environment)
    for variable in given { try set(variable.key, variable.value, from: variable.name, in: &fixed) }
    for flag in flags { try set(flag.key, flag.value, from: nil, in: &fixed) }
    var configuration = try NodeConfiguration(NodeSettings(fixed: fixed))
    configuration.warnings = warnings + configuration.exposureWarnings
    return configuration
  }

  /// - Parameter origin: where the value was written, for the error; nil for a flag, whose name says it.
  private static func set(
    _ name: String, _ value: String, from origin: String?, in fixed: inout [String: String]
  ) throws(NodeStartError) {
    let prefix = origin.map { "\($0): " } ?? ""
    guard let key = ConfigurationKey.nodeKey(named: name) else {
      throw NodeStartError(
        .configuration, prefix + ConfigurationKey.unknownName(name, among: ConfigurationKey.nodeKeys, kind: "node"))
    }
    if let complaint = key.complaint(about: value) { throw NodeStartError(.configuration, prefix + complaint) }
    fixed[key.name] = ConfigurationKey.normalized(value)
  }

  init(_ settings: NodeSettings) throws(NodeStartError) {
    self.settings = settings
    isNodeIDGiven = !settings.values(of: ConfigurationKey.nodeKey(named: "node.id")!).dropLast().isEmpty
    nodeID = NodeID(Int32(settings.number("node.id")))
    dataDirectory = settings.text("log.dirs")
    listen = try Self.address("listeners", settings)
    let advertisedText = settings.text("advertised.listeners")
    advertised = advertisedText.isEmpty ? nil : try Self.address("advertised.listeners", settings)
    http = settings.text("quire.http") == "off" ? nil : try Self.address("quire.http", settings)
    postgres = settings.text("quire.postgres") == "off" ? nil : try Self.address("quire.postgres", settings)
    etcd = EtcdAddress(settings)
    rack = settings.text("broker.rack").isEmpty ? nil : settings.text("broker.rack")
    peer = try PeerAddress(settings)
    // The others have to fetch from here.
    if etcd != nil, peer == nil { peer = PeerAddress(listen: HostPort(host: "127.0.0.1", port: 0)) }
    standbyOf = settings.text("quire.standby.of").isEmpty ? nil : try Self.address("quire.standby.of", settings)
    // Another one than its leader's default.
    if standbyOf != nil, !isNodeIDGiven { nodeID = NodeID(2) }
    peerSecretFile = settings.text("quire.peer.secret.file").isEmpty ? nil : settings.text("quire.peer.secret.file")
    logsJSON = settings.text("quire.log.format") == "json"
    logLevel = settings.text("quire.log.level")
    if listen.isWildcard && advertised == nil {
      throw NodeStartError(
        .configuration, "listening on \(listen) takes every interface: say with --advertise HOST:PORT where clients connect")
    }
    if let advertised, advertised.isWildcard {
      throw NodeStartError(.configuration, "\(advertised) cannot be advertised: no client can connect to it")
    }
    try checkPeers()
  }

  static func address(_ key: String, _ settings: NodeSettings) throws(NodeStartError) -> HostPort {
    guard let address = HostPort(settings.text(key)) else {
      throw NodeStartError(.configuration, "\(key): '\(settings.text(key))' is not HOST:PORT")
    }
    return address
  }

  private var exposureWarnings: [String] {
    var warnings: [String] = []
    if !listen.isLoopback { warnings.append("Kafka on \(listen) is open to the network without authentication") }
    if let http, !http.isLoopback { warnings.append("HTTP on \(http) is open to the network without authentication") }
    if let postgres, !postgres.isLoopback {
      warnings.append("Postgres on \(postgres) is open to the network without authentication")
    }
    return warnings
  }
}
