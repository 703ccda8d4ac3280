import Cluster
import Logging
import Metadata
import Model
import Synchronization

/// The epochs that this node may have led in an earlier life: it leads none of them again, and asks for the next ones.
final class EarlierEpochs: Sendable {
  private let state = Mutex<[PartitionIdentity: LeaderEpoch]>([:])
  private let node: NodeID
  private let cluster: any ClusterStore
  private let logger: Logger

  init(node: NodeID, cluster: any ClusterStore, logger: Logger) {
    self.node = node
    self.cluster = cluster
    self.logger = logger
  }

  /// Below which epoch each partition is not led.
  var floors: [PartitionIdentity: LeaderEpoch] { state.withLock { $0 } }

  /// This is what an earlier life has left: whatever the image has this node lead now.
  func begin() {
    var floors: [PartitionIdentity: LeaderEpoch] = [:]
    for topic in cluster.image.topics.values {
      for (number, partition) in topic.partitions.enumerated() where partition.leader == node {
        floors[PartitionIdentity(topicID: topic.id, partition: Int32(number))] = partition.leaderEpoch.next
      }
    }
    state.withLock { $0 = floors }
  }

  /// Asks for the next epochs, until the image has none of the earlier ones any more, or the task is cancelled. Another in-sync replica may get them.
  func renew() async {
    var delay = RoleDelay()
    while !Task.isCancelled {
      let image = cluster.image
      let left = state.withLock { floors in
        floors = floors.filter { identity, floor in
          guard let partition = image.topic(identity.topicID)?.partition(identity.partition) else { return false }
          return partition.leader == node && partition.leaderEpoch < floor
        }
        return Set(floors.keys)
      }
      if left.isEmpty { return }
      do throws(ClusterError) {
        try await cluster.renewEpochs(of: left, ledBy: node)
        delay.reset()
      } catch {
        logger.warning("new leader epochs are not to be had yet", metadata: ["error": "\(error)"])
        await delay.wait()
      }
    }
  }
}

/// Between two attempts: doubled each time.
struct RoleDelay {
  static let range: ClosedRange<UInt64> = 200_000_000...5_000_000_000
  private var nanoseconds = range.lowerBound

  mutating func wait() async {
    try? await Task.sleep(nanoseconds: nanoseconds)
    nanoseconds = min(nanoseconds * 2, Self.range.upperBound)
  }

  mutating func reset() { nanoseconds = Self.range.lowerBound }
}
