import Cluster
import Logging
import Metadata
import Model
import Storage
import Synchronization

/// What the leaders of this node ask of the cluster: other in-sync sets, and to lead no longer.
final class LeaderWishes: Sendable {
  private struct State {
    var proposals: [TopicPartition: IsrProposal] = [:]
    var damaged: [TopicPartition: DamagedLeader] = [:]
  }

  private let state = Mutex(State())
  private let node: NodeID
  private let cluster: any ClusterStore
  /// A leader has not heard that what it wants is decided.
  private let tellAgain: @Sendable (TopicPartition) -> Void
  private let logger: Logger
  private let arrivals: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)

  init(
    node: NodeID, cluster: any ClusterStore, logger: Logger, tellAgain: @escaping @Sendable (TopicPartition) -> Void
  ) {
    self.node = node
    self.cluster = cluster
    self.logger = logger
    self.tellAgain = tellAgain
    arrivals = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Does not block.
  func take(_ proposal: IsrProposal) {
    state.withLock { $0.proposals[proposal.topicPartition] = proposal }
    arrivals.continuation.yield()
  }

  /// Does not block.
  func take(_ damage: DamagedLeader) {
    state.withLock { $0.damaged[damage.topicPartition] = damage }
    arrivals.continuation.yield()
  }

  /// Until `finish`, or the task is cancelled.
  func run() async {
    for await _ in arrivals.stream {
      await propose()
      await giveUp()
    }
  }

  func finish() { arrivals.continuation.finish() }

  /// Asks the cluster for the in-sync sets that leaders want. What could not be asked is proposed again.
  private func propose() async {
    let proposals = state.withLock { state in
      defer { state.proposals = [:] }
      return state.proposals.values
    }
    let image = cluster.image
    var changes: [PartitionChange] = []
    for proposal in proposals {
      guard let partition = image.topic(proposal.topicID)?.partition(proposal.topicPartition.partition),
        partition.leader == node, partition.leaderEpoch == proposal.epoch
      else { continue }
      if Set(partition.isr) == Set(proposal.isr) {
        tellAgain(proposal.topicPartition)
        continue
      }
      // It goes on from a set that is not the partition's any more, of which it is about to hear.
      guard Set(partition.isr) == Set(proposal.decided) else { continue }
      var next = partition
      next.isr = partition.replicas.filter { proposal.isr.contains($0) }
      changes.append(
        PartitionChange(
          topicID: proposal.topicID, partition: proposal.topicPartition.partition, expected: partition, next: next))
    }
    guard !changes.isEmpty else { return }
    do throws(ClusterError) { _ = try await cluster.changePartitions(changes) } catch {
      logger.warning("in-sync replicas are not changed", metadata: ["error": "\(error)"])
      try? await Task.sleep(nanoseconds: RoleDelay.range.lowerBound)
    }
  }

  /// What is damaged here is mended from another in-sync replica, which has to lead for that. Told again for as long as it is damaged.
  private func giveUp() async {
    let damaged = state.withLock { state in
      defer { state.damaged = [:] }
      return state.damaged.values
    }
    for one in damaged { await giveUp(one.topicPartition, one.topicID, in: one.epoch) }
  }

  /// Asks for the next epoch of a partition whose log here knows a later one than the cluster does: etcd was set back. Nothing happens where the cluster
  /// is further by now.
  func goOn(_ partition: TopicPartition, _ topicID: TopicID, behind epoch: LeaderEpoch) async {
    guard let known = cluster.image.topic(topicID)?.partition(partition.partition), known.leader == node,
      known.leaderEpoch == epoch
    else { return }
    do throws(ClusterError) {
      let identity = PartitionIdentity(topicID: topicID, partition: partition.partition)
      try await cluster.renewEpochs(of: [identity], ledBy: node)
    } catch {
      logger.warning("a later leader epoch is not to be had yet", metadata: ["partition": "\(partition)", "error": "\(error)"])
    }
  }

  /// Has another in-sync replica lead, if one is there; this node leaves the set. Nothing happens where this node does not lead in that epoch.
  func giveUp(_ partition: TopicPartition, _ topicID: TopicID, in epoch: LeaderEpoch) async {
    do throws(ClusterError) {
      let identity = PartitionIdentity(topicID: topicID, partition: partition.partition)
      guard let heir = try await cluster.giveUp(identity, in: epoch, by: node) else { return }
      logger.warning(
        "leadership is given away: what is here is damaged, or its disk fails",
        metadata: ["partition": "\(partition)", "to": "\(heir)"])
    } catch {
      logger.warning("leadership could not be given away", metadata: ["partition": "\(partition)", "error": "\(error)"])
    }
  }
}
