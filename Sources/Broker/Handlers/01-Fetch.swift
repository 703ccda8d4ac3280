internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

extension BrokerContext {
  /// The in-sync follower in a consumer's rack that it should read from; nil where it is to stay with this node, which leads.
  fileprivate func nearerReplica(of partition: PartitionImage, to rack: String, _ image: ClusterImage) -> NodeID? {
    guard configuration.readsFromRack, !rack.isEmpty, configuration.rack != rack else { return nil }
    return partition.isr.first { $0 != configuration.nodeID && image.nodes[$0]?.rack == rack }
  }
}

/// Fetch, versions 4 to 12: long polling (KIP-74), sessions (KIP-227), epoch checks (KIP-320), reading from followers (KIP-392).
///
/// A reply begins with the whole batch that contains the offset asked for; clients drop the records before it.
extension Call {
  func handle(_ request: FetchRequest) {
    let broker = connection.broker
    let named = request.topics.flatMap { topic in
      topic.partitions.map { part in
        FetchInterest(
          topic: topic.topic, partition: part.partition, offset: part.fetchOffset,
          currentLeaderEpoch: part.currentLeaderEpoch, lastFetchedEpoch: part.lastFetchedEpoch, bytesMax: part.partitionMaxBytes
        )
      }
    }
    let forgotten = request.forgottenTopicsData.flatMap { topic in
      topic.partitions.map { TopicPartition(topic: topic.topic, partition: $0) }
    }
    let plan: FetchSessions.Plan
    do throws(ErrorCode) {
      plan = try broker.fetchSessions.plan(
        sessionID: version >= 7 ? request.sessionID : 0, epoch: version >= 7 ? request.sessionEpoch : -1, named: named,
        forgotten: forgotten)
    } catch {
      var response = FetchResponse()
      response.errorCode = error
      return reply(response)
    }
    let image = broker.cluster.image
    let parts = plan.interests.map { interest in
      var part = FetchOperation.Part(interest: interest, log: nil, error: nil)
      let name = TopicPartition(topic: interest.topic, partition: interest.partition)
      do throws(ErrorCode) {
        // Consumers that do not say where they are do not know of followers either.
        part.log =
          version >= 11
          ? try broker.partitions.held(name, in: image, epoch: interest.currentLeaderEpoch)
          : try broker.partitions.read(name, in: image, epoch: interest.currentLeaderEpoch).log
      } catch { part.error = error }
      guard let topic = image.topics[interest.topic], let partition = topic.partition(interest.partition) else { return part }
      if part.error == nil, version < 10, topic.configuration.compression == .zstd {
        part.error = .unsupportedCompressionType
      }
      part.epoch = partition.leaderEpoch
      if version >= 11, part.log?.isReplica == false {
        part.nearer = broker.nearerReplica(of: partition, to: request.rackID, image)
      }
      return part
    }
    FetchOperation(call: self, broker: broker, request: request, plan: plan, parts: parts).gather()
  }
}
