internal import Logging
internal import Metadata
internal import Model
internal import Synchronization

/// Acts for the cluster while this node holds the controller's key: elections, preferred leaders, the coordinators' topic, ends of reassignments.
///
/// A function of the image, carried out after each change of it and once a second.
final class ClusterController: Sendable {
  private let cluster: EtcdClusterStore
  private let nodeID: NodeID
  private let logger: Logger
  private let wakes: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation

  private static let tickNanoseconds: UInt64 = 1_000_000_000

  init(_ cluster: EtcdClusterStore, nodeID: NodeID, logger: Logger) {
    self.cluster = cluster
    self.nodeID = nodeID
    self.logger = logger
    (wakes, waker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
  }

  func imageChanged() { waker.yield() }

  /// Until the task is cancelled.
  func run() async {
    let ticks = Task { [waker] in
      while !Task.isCancelled {
        try? await Task.sleep(nanoseconds: Self.tickNanoseconds)
        waker.yield()
      }
    }
    defer { ticks.cancel() }
    var balanced = ContinuousClock.now
    for await _ in wakes {
      if Task.isCancelled { return }
      guard cluster.controller == nodeID else {
        balanced = .now
        continue
      }
      do throws(ClusterError) {
        try await decide()
        let settings = cluster.image.nodeSettings
        let interval = settings.number("leader.imbalance.check.interval.seconds")
        if settings.flag("auto.leader.rebalance.enable"), ContinuousClock.now - balanced >= .seconds(interval) {
          balanced = .now
          try await make(ControllerDecisions(cluster.image).preferredLeaders, "preferred leaders")
        }
      } catch {
        // The next tick tries again, with what the image is by then.
        logger.warning("a decision was not made", metadata: ["error": "\(error)"])
      }
    }
  }

  private func decide() async throws(ClusterError) {
    let image = cluster.image
    try await make(ControllerDecisions(image).changes, "leaders and replicas")
    try await cluster.keepCoordinatorTopic()
  }

  private func make(_ changes: [PartitionChange], _ what: String) async throws(ClusterError) {
    if changes.isEmpty { return }
    let begin = ContinuousClock.now
    let isMade = try await cluster.changePartitions(changes)
    logger.info(
      "\(what) were changed",
      metadata: [
        "partitions": "\(isMade.count { $0 })", "without-leader": "\(changes.count { $0.next.leader == nil })",
        "took": "\(ContinuousClock.now - begin)",
      ])
  }
}
