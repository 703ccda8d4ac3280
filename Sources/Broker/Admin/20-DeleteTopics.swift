internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model

/// DeleteTopics, versions 1 to 6: by name, from 6 by name or by id (KIP-516).
extension AdminContext {
  func handle(_ request: DeleteTopicsRequest, version: Int16) async -> DeleteTopicsResponse {
    var asked = request.topics
    if version < 6 {
      asked = request.topicNames.map { name in
        var topic = DeleteTopicsRequest.DeleteTopicState()
        topic.name = name
        return topic
      }
    }
    let repeatedNames = asked.compactMap(\.name).repeated()
    let repeatedIDs = asked.map(\.topicID).filter { $0 != .zero }.repeated()
    var response = DeleteTopicsResponse()
    var answered: Set<DeleteTopicsRequest.DeleteTopicState.Identity> = []
    for topic in asked where answered.insert(topic.identity).inserted {
      var row = DeleteTopicsResponse.DeletableTopicResult()
      row.name = topic.name
      row.topicID = topic.topicID
      do throws(ClusterError) {
        if topic.name.map(repeatedNames.contains) == true || repeatedIDs.contains(topic.topicID) {
          throw ClusterError(.invalidRequest, "a topic occurs more than once in the request")
        }
        try await delete(topic, &row)
      } catch {
        row.errorCode = error.errorCode
        row.errorMessage = error.message
      }
      response.responses.append(row)
    }
    let gone = Set(response.responses.filter { $0.errorCode == .none }.compactMap(\.name))
    if !gone.isEmpty { topicsDeleted(gone) }
    return response
  }

  private func delete(
    _ topic: DeleteTopicsRequest.DeleteTopicState, _ row: inout DeleteTopicsResponse.DeletableTopicResult
  ) async throws(ClusterError) {
    switch (topic.name, topic.topicID) {
    case (let name?, .zero):
      row.topicID = cluster.image.topics[name]?.id ?? .zero
      try await cluster.deleteTopic(named: name)
    case (nil, let id) where id != .zero:
      row.name = try await cluster.deleteTopic(id: id)
    case (nil, _): throw ClusterError(.invalidRequest, "neither a name nor an id of a topic is given")
    case (_?, _): throw ClusterError(.invalidRequest, "both a name and an id of a topic are given")
    }
  }
}

extension DeleteTopicsRequest.DeleteTopicState {
  struct Identity: Hashable {
    var name: String?
    var id: TopicID
  }
  var identity: Identity { Identity(name: name, id: topicID) }
}
