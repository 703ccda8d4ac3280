internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import NIOCore
internal import Records
internal import Storage

/// One produce request under way: its reply is complete when every partition's append has an outcome.
// Safe because: it lives on its connection's event loop.
final class ProduceOperation: @unchecked Sendable {
  let call: Call
  let acks: Int16
  private let bytes: Int
  private var response: ProduceResponse
  private var open: Int
  private var failure: ErrorCode?

  /// - Parameter response: with a row for every partition; those that are refused already carry their error.
  init(call: Call, acks: Int16, bytes: Int, response: ProduceResponse, open: Int, failure: ErrorCode? = nil) {
    self.call = call
    self.acks = acks
    self.bytes = bytes
    self.response = response
    self.open = open
    self.failure = failure
  }

  /// Takes the outcome of one partition; answers when it was the last.
  func finish(topic: Int, partition: Int, _ outcome: AppendOutcome) {
    switch outcome {
    case .pending:
      preconditionFailure("a lane hands an append back with its outcome")
    case .appended(let baseOffset, let logAppendTime, let logStartOffset):
      response.responses[topic].partitionResponses[partition].baseOffset = baseOffset.rawValue
      response.responses[topic].partitionResponses[partition].logAppendTimeMs = logAppendTime
      response.responses[topic].partitionResponses[partition].logStartOffset = logStartOffset.rawValue
    case .rejected(let error, let message):
      response.responses[topic].partitionResponses[partition].errorCode = error
      response.responses[topic].partitionResponses[partition].errorMessage = message
      failure = error
    }
    open -= 1
    if open == 0 {
      call.connection.produceFinished(bytes: bytes)
      answer(failure)
    }
  }

  /// Tells where a partition is led that is not led here (KIP-951).
  private func nameLeaders() {
    let image = call.connection.broker.cluster.image
    var leaders: Set<NodeID> = []
    for topic in response.responses.indices {
      let name = response.responses[topic].name
      for row in response.responses[topic].partitionResponses.indices
      where response.responses[topic].partitionResponses[row].errorCode != .none {
        let number = response.responses[topic].partitionResponses[row].index
        let error = call.connection.broker.partitions.outcome(
          response.responses[topic].partitionResponses[row].errorCode, of: TopicPartition(topic: name, partition: number),
          in: image)
        response.responses[topic].partitionResponses[row].errorCode = error
        guard error == .notLeaderOrFollower, call.version >= 10, let partition = image.topics[name]?.partition(number),
          let node = image.leader(of: partition)
        else { continue }
        response.responses[topic].partitionResponses[row].currentLeader.leaderID = node.id.rawValue
        response.responses[topic].partitionResponses[row].currentLeader.leaderEpoch = partition.leaderEpoch.rawValue
        guard leaders.insert(node.id).inserted else { continue }
        var endpoint = ProduceResponse.NodeEndpoint()
        endpoint.nodeID = node.id.rawValue
        endpoint.host = node.host
        endpoint.port = node.port
        endpoint.rack = node.rack
        response.nodeEndpoints.append(endpoint)
      }
    }
  }

  /// - Parameter failure: an error of any partition; with acks=0 the connection is closed over it, since nothing else can tell the client.
  func answer(_ failure: ErrorCode?) {
    if acks != 0 {
      if failure != nil { nameLeaders() }
      call.reply(response)
    } else if let failure {
      call.closeConnection("a produce request with acks=0 failed: \(failure)")
    } else {
      call.finishSilently()
    }
  }
}

/// What an append carries back: which row of which reply it decides.
final class ProducePart: Sendable {
  let operation: ProduceOperation
  let topic: Int
  let partition: Int

  init(operation: ProduceOperation, topic: Int, partition: Int) {
    self.operation = operation
    self.topic = topic
    self.partition = partition
  }

  func finish(_ outcome: AppendOutcome) { operation.finish(topic: topic, partition: partition, outcome) }
}
