import Cluster
import Logging
import Model
import NIOPosix
import Storage

/// What is done to take one partition from one duty to the next: in Storage, to connections, to the coordinator.
struct RoleSteps: Sendable {
  let dependencies: RoleKeeper.Dependencies
  let notes: PartitionNotes
  /// Whatever ends a leadership goes before everything else.
  let urgent: NIOThreadPool
  let threads: NIOThreadPool

  /// - Parameters:
  ///   - was: nil for nothing.
  ///   - wanted: nil for nothing, in which case the files go as well.
  ///   - reached: told what the partition is on the way: whatever follows may fail.
  func change(
    _ partition: TopicPartition, from was: PartitionDuty?, to wanted: PartitionDuty?, _ configuration: TopicConfiguration,
    reached: @Sendable (PartitionDuty?) -> Void
  ) async throws(StorageError) {
    if partition.topic == CoordinatorTopic.name, was?.leadsIn != nil, was?.leadsIn != wanted?.leadsIn {
      dependencies.coordinator(Int(partition.partition), false)
    }
    if let was, case .follow(let address?) = was.role {
      await dependencies.links.unfollow(partition, at: address)
      reached(PartitionDuty(topicID: was.topicID, role: .follow(nil)))
    }
    if let was, was.topicID != wanted?.topicID {
      try await leave(partition, was.topicID)
      reached(nil)
    }
    guard let wanted else { return }
    let store = dependencies.store
    switch wanted.role {
    case .lead(let epoch, let replicas):
      try await threads.performing { () throws(StorageError) in
        try store.lead(
          partition, topicID: wanted.topicID, epoch: epoch, configuration: configuration, replicas: replicas)
      }
      if partition.topic == CoordinatorTopic.name { dependencies.coordinator(Int(partition.partition), true) }
    case .follow(let address):
      let pool = was?.leadsIn == nil ? threads : urgent
      let follower = try await pool.performing { () throws(StorageError) in
        try store.openReplica(of: partition, topicID: wanted.topicID, configuration: configuration)
      }
      if let address {
        dependencies.links.follow(partition, topicID: wanted.topicID, at: address, into: FollowedLog(follower))
      }
    }
  }

  /// Lets go of a partition. Its files go too where the topic is gone, or other nodes have taken it over: both are known from an image that is
  /// newer than the one that gave it to this node.
  private func leave(_ partition: TopicPartition, _ topicID: TopicID) async throws(StorageError) {
    let store = dependencies.store
    try await urgent.performing { () throws(StorageError) in
      try store.release(partition, topicID: topicID)
      try store.deletePartitions([partition], topicID: topicID)
    }
    do throws(ClusterError) { try await notes.forget(partition, topicID) } catch {
      // The next start finds nothing of it, and notes that.
      dependencies.logger.warning("a partition that has left is still noted", metadata: ["error": "\(error)"])
    }
    dependencies.logger.info("a partition has left this node", metadata: ["partition": "\(partition)"])
  }
}
