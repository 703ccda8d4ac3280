import Broker
import Cluster
import Coordination
import Metadata
import Model
import NIOCore
import Query
import Storage

/// The node as the system tables of SQL show it.
struct NodeView: NodeFacts {
  let nodeID: NodeID
  let cluster: any ClusterStore
  let store: LogStore
  let coordinator: GroupCoordinator
  let view: ClusterView
  /// Whose promises the coordinator's answers are waited for with: on a read thread, never on a loop.
  let group: any EventLoopGroup

  func now() -> Int64 { wallClockMilliseconds() }

  func groups() throws(HistoryError) -> [GroupFacts] {
    let promise = group.next().makePromise(of: [GroupOverview]?.self)
    coordinator.overview { promise.succeed($0) }
    guard let groups = try? promise.futureResult.wait() else {
      throw HistoryError(.unavailable, "the coordinator of the consumer groups has no time for questions")
    }
    let led = groups.map { Self.facts($0, nodeID) }
    do throws(StorageError) {
      // Of the others there is what has come here; one that has just moved is not told twice.
      let known = Set(led.map(\.groupID))
      return led
        + (try store.followedGroups(shardCount: Limits.coordinatorShardCount)).filter { !known.contains($0.groupID) }.map {
          var facts = GroupFacts($0)
          facts.coordinator = coordinator.coordinator(of: $0.groupID)
          return facts
        }
    } catch { throw HistoryError(.unavailable, "the groups that other nodes coordinate cannot be read: \(error)") }
  }

  private static func facts(_ group: GroupOverview, _ coordinator: NodeID) -> GroupFacts {
    GroupFacts(
      groupID: group.description.groupID, state: group.description.state.rawValue,
      protocolType: group.description.protocolType, protocolName: group.description.protocolName,
      generationID: group.generationID, leaderID: group.leaderID,
      members: zip(group.description.members, group.assignments).map { member, partitions in
        GroupFacts.Member(
          memberID: member.identity.memberID, instanceID: member.identity.instanceID, clientID: member.clientID,
          clientHost: member.clientHost, sessionTimeoutMilliseconds: member.sessionTimeoutMilliseconds,
          rebalanceTimeoutMilliseconds: member.rebalanceTimeoutMilliseconds, partitions: partitions)
      },
      offsets: group.offsets.map {
        GroupFacts.CommittedOffset(
          partition: $0.key, offset: $0.value.offset, leaderEpoch: $0.value.leaderEpoch, metadata: $0.value.metadata,
          commitTimestamp: $0.value.commitTimestamp)
      }, coordinator: coordinator)
  }

  func clusterFacts() -> ClusterFacts { view.facts() }

  func nodes() -> [NodeFact] {
    cluster.image.nodes.values.sorted { $0.id.rawValue < $1.id.rawValue }.map {
      NodeFact(id: $0.id.rawValue, host: $0.host, port: $0.port, rack: $0.rack, isThisNode: $0.id == nodeID)
    }
  }

  func configurations() -> [ConfigurationFact] {
    let image = cluster.image
    var facts = ConfigurationKey.nodeKeys.map { key in
      Self.fact("node", "\(nodeID)", key, image.nodeSettings.values(of: key))
    }
    for topic in image.clientTopics.sorted(by: { $0.name < $1.name }) {
      facts += ConfigurationKey.topicKeys.map { key in
        Self.fact("topic", topic.name, key, image.nodeSettings.values(of: key, topicSettings: topic.settings))
      }
    }
    return facts
  }

  private static func fact(
    _ type: String, _ resource: String, _ key: ConfigurationKey, _ values: [ConfiguredValue]
  ) -> ConfigurationFact {
    let source =
      switch values[0].source {
      case .topic: "topic"
      case .dynamicNode: "node"
      case .dynamicDefault: "every node"
      case .fixed: "start"
      case .builtIn: "default"
      }
    return ConfigurationFact(
      resourceType: type, resourceName: resource, name: key.name, value: values[0].value, source: source)
  }
}
