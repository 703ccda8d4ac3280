import Broker
import Cluster
import Coordination
import Glibc
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import Query
import Storage

/// From the configuration's keys to what each room is told.
extension RunningNode {
  static func openStore(
    _ configuration: NodeConfiguration, adjust: (inout StoreOptions) -> Void
  ) throws(NodeStartError) -> LogStore {
    let settings = configuration.settings
    var options = StoreOptions(dataDirectory: configuration.dataDirectory, nodeID: configuration.nodeID)
    options.keepsNodeID = !configuration.isNodeIDGiven
    options.replacesDamagedNodeDatabase = configuration.etcd != nil
    let lanes = Int(settings.number("quire.storage.lanes"))
    if lanes > 0 { options.laneCount = lanes }
    options.scanThreadCount = Int(settings.number("quire.query.concurrency"))
    options.openDatabasesMax = Int(settings.number("quire.open.databases"))
    options.checkpointBytes = Int(settings.number("quire.checkpoint.bytes"))
    options.walBytesMax = Int(settings.number("quire.wal.bytes"))
    options.groupCommitBytesMax = Int(settings.number("quire.group.commit.bytes"))
    options.logTailBytesMax = Int(settings.number("quire.log.tail.bytes"))
    options.replicaLagMaxMilliseconds = settings.number("replica.lag.time.max.ms")
    options.scrubBytesPerSecond = Int(settings.number("quire.scrub.bytes.per.second"))
    options.scrubPauseMilliseconds = settings.number("quire.scrub.pause.ms")
    adjust(&options)
    do throws(StorageError) {
      return try LogStore.open(options, logger: Logger(label: "storage"), now: wallClockMilliseconds)
    } catch {
      if case .system(let call, let path, let number) = error, number == EACCES || number == EROFS || number == EPERM {
        throw NodeStartError(
          .environment,
          "the data directory \(configuration.dataDirectory) cannot be written (\(call) \(path): \(errorText(number)))")
      }
      if case .damaged(let damage) = error {
        throw NodeStartError(
          .environment,
          """
          \(damage.file) is damaged (\(damage.reason)): it has the topics of this node, their settings, and whose standby or leader it is. Bring \
          back a copy of it; or have the node's standby lead (`quire cluster promote`) and start this one with an empty data directory; or \
          export what the other files have with --data-dir
          """)
      }
      if case .system = error {
        throw NodeStartError(.environment, "the data directory \(configuration.dataDirectory) cannot be used: \(error)")
      }
      throw NodeStartError(.environment, "\(error)")
    }
  }

  /// The coordinator's shards of a node that is alone.
  static func leadShards(_ store: LogStore) throws(NodeStartError) {
    do throws(StorageError) { try store.leadCoordinator(shardCount: Limits.coordinatorShardCount) } catch {
      throw NodeStartError(.environment, "\(error)")
    }
  }

  static func makeGroups(
    _ configuration: NodeConfiguration, _ store: LogStore, _ cluster: any ClusterStore, _ advertised: HostPort
  ) throws -> GroupCoordinator {
    let settings = configuration.settings
    var groups = GroupConfiguration()
    groups.initialRebalanceDelayMilliseconds = settings.number("group.initial.rebalance.delay.ms")
    groups.sessionTimeoutMillisecondsMin = Int32(settings.number("group.min.session.timeout.ms"))
    groups.sessionTimeoutMillisecondsMax = Int32(settings.number("group.max.session.timeout.ms"))
    groups.groupSizeMax = Int32(settings.number("group.max.size"))
    groups.offsetsRetentionMinutes = settings.number("offsets.retention.minutes")
    groups.offsetsRetentionCheckIntervalMilliseconds = settings.number("offsets.retention.check.interval.ms")
    groups.offsetMetadataLengthMax = Int(settings.number("offset.metadata.max.bytes"))
    let thisNode = GroupCoordinator.Endpoint(
      nodeID: configuration.nodeID, host: advertised.host, port: Int32(advertised.port))
    let coordinator = GroupCoordinator(
      configuration: groups, persistence: CoordinatorStore(store, shardCount: Limits.coordinatorShardCount),
      endpoint: {
        // A standby coordinates nothing, nor does a node that was deposed, or may have been.
        guard store.takesAppends else { return nil }
        return GroupCoordinator.endpoint(ofShard: $0, in: cluster.image, thisNode: thisNode)
      },
      topicPartitionExists: { cluster.image.topics[$0.topic]?.partition($0.partition) != nil },
      logger: Logger(label: "groups"), now: GroupCoordinator.steadyClock())
    do {
      // In a cluster it leads what the cluster gives it.
      if configuration.etcd == nil, store.takesAppends { try coordinator.leadAll() }
      return coordinator
    } catch {
      coordinator.close()
      throw NodeStartError(.environment, "the consumer groups in \(configuration.dataDirectory) cannot be read: \(error)")
    }
  }

  static func brokerConfiguration(
    _ configuration: NodeConfiguration, clusterID: String, _ advertised: HostPort
  ) -> BrokerConfiguration {
    let settings = configuration.settings
    var broker = BrokerConfiguration(
      nodeID: configuration.nodeID, clusterID: clusterID, advertisedHost: advertised.host, advertisedPort: advertised.port)
    broker.rack = configuration.rack
    broker.readsFromRack = settings.text("replica.selector.class") == ConfigurationKey.rackAwareSelector
    broker.autoCreateTopics = settings.flag("auto.create.topics.enable")
    broker.defaultPartitionCount = Int32(settings.number("num.partitions"))
    broker.requestBytesMax = Int(settings.number("socket.request.max.bytes"))
    broker.connectionsMax = Int(settings.number("max.connections"))
    broker.connectionIdleMilliseconds = settings.number("connections.max.idle.ms")
    broker.queuedRequestBytesMax = Int(settings.number("queued.max.request.bytes"))
    broker.fetchSessionsMax = Int(settings.number("max.incremental.fetch.session.cache.slots"))
    return broker
  }

  /// Binds Kafka's address.
  ///
  /// - Returns: the address as clients can be told it: a name like localhost may lead them to the other family of addresses.
  static func bindListener(_ address: HostPort, _ group: any EventLoopGroup) async throws -> (KafkaListener, HostPort) {
    do {
      let listener = try await KafkaListener.bind(on: group, host: address.host, port: address.port)
      let bound = listener.address
      let host = address.host == "localhost" ? bound.ipAddress ?? address.host : address.host
      return (listener, HostPort(host: host, port: bound.port ?? address.port))
    } catch { throw StartFailure.explained(error, door: "Kafka", address: address) }
  }

  /// Where clients are told to connect, given what was bound.
  static func advertisedAddress(_ configuration: NodeConfiguration, _ bound: HostPort) -> HostPort {
    guard var advertised = configuration.advertised else { return bound }
    if advertised.port == 0 { advertised.port = bound.port }
    return advertised
  }

  static func absolutePath(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
  }
}

/// Errors of binding an address, in words.
enum StartFailure {
  static func explained(_ error: any Error, door: String, address: HostPort) -> any Error {
    switch error {
    case let error as NodeStartError: return error
    case let error as IOError:
      switch error.errnoCode {
      case EADDRINUSE:
        return NodeStartError(.environment, "\(door) cannot listen on \(address): another process has the port")
      case EADDRNOTAVAIL:
        return NodeStartError(.environment, "\(door) cannot listen on \(address): the address is not one of this machine's")
      default:
        return NodeStartError(.environment, "\(door) cannot listen on \(address): \(errorText(error.errnoCode))")
      }
    case is SocketAddressError, is SocketAddressError.UnknownHost:
      return NodeStartError(.environment, "\(door) cannot listen on \(address): the name '\(address.host)' is unknown")
    default: return error
    }
  }
}
