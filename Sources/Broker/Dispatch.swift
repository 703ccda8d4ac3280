internal import Coordination
internal import KafkaProtocol
internal import Model
internal import NIOCore

/// From an API key to its handler: the broker's table of contents.
extension Connection {
  /// Decodes the body and starts the handler, which replies through `call` now or later.
  ///
  /// - Throws: what is wrong with the request; the connection is closed, as Kafka does for versions and APIs it does not serve.
  func dispatch(_ call: Call, _ body: inout ByteBuffer) throws {
    guard let key = APIKey(rawValue: call.header.apiKey) else {
      throw WireFailure(reason: "API \(call.header.apiKey) is not served")
    }
    guard ServedVersions.accepted(key).contains(call.version) else {
      if key == .apiVersions { return call.replyUnsupportedApiVersions() }
      throw WireFailure(reason: "version \(call.version) of \(key) is not served")
    }
    let version = call.version
    let clientID = call.header.clientID
    let host = clientHost
    let groups = broker.groups
    let admin = broker.admin
    let listed = broker.listedNodes
    switch key {
    case .produce: call.handle(try decode(ProduceRequest.self, &body, version))
    case .fetch: call.handle(try decode(FetchRequest.self, &body, version))
    case .listOffsets: call.handle(try decode(ListOffsetsRequest.self, &body, version))
    case .metadata: call.handle(try decode(MetadataRequest.self, &body, version))
    case .apiVersions: call.handle(try decode(ApiVersionsRequest.self, &body, version))
    case .initProducerID: call.handle(try decode(InitProducerIDRequest.self, &body, version))

    case .findCoordinator:
      groups.handle(try decode(FindCoordinatorRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .joinGroup:
      groups.handle(
        try decode(JoinGroupRequest.self, &body, version), version: version, clientID: clientID, clientHost: host,
        reply: { call.reply($0) })
    case .syncGroup:
      groups.handle(try decode(SyncGroupRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .heartbeat:
      groups.handle(try decode(HeartbeatRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .leaveGroup:
      groups.handle(try decode(LeaveGroupRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .offsetCommit:
      groups.handle(try decode(OffsetCommitRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .offsetFetch:
      groups.handle(try decode(OffsetFetchRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .describeGroups:
      groups.handle(try decode(DescribeGroupsRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .listGroups:
      groups.handle(try decode(ListGroupsRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .deleteGroups:
      groups.handle(try decode(DeleteGroupsRequest.self, &body, version), version: version, reply: { call.reply($0) })
    case .offsetDelete:
      groups.handle(try decode(OffsetDeleteRequest.self, &body, version), version: version, reply: { call.reply($0) })

    case .createTopics:
      call.serve(try decode(CreateTopicsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .deleteTopics:
      call.serve(try decode(DeleteTopicsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .createPartitions:
      call.serve(try decode(CreatePartitionsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .deleteRecords:
      call.serve(try decode(DeleteRecordsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .describeConfigs:
      call.serve(try decode(DescribeConfigsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .alterConfigs:
      call.serve(try decode(AlterConfigsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .incrementalAlterConfigs:
      call.serve(try decode(IncrementalAlterConfigsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .electLeaders:
      call.serve(try decode(ElectLeadersRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .alterPartitionReassignments:
      call.serve(try decode(AlterPartitionReassignmentsRequest.self, &body, version)) {
        await admin.handle($0, version: version)
      }
    case .listPartitionReassignments:
      call.serve(try decode(ListPartitionReassignmentsRequest.self, &body, version)) {
        await admin.handle($0, version: version)
      }
    case .describeCluster:
      call.serve(try decode(DescribeClusterRequest.self, &body, version)) {
        await admin.handle($0, version: version, listed: listed)
      }
    case .describeTopicPartitions:
      call.serve(try decode(DescribeTopicPartitionsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .describeLogDirs:
      call.serve(try decode(DescribeLogDirsRequest.self, &body, version)) { await admin.handle($0, version: version) }
    case .offsetForLeaderEpoch:
      call.serve(try decode(OffsetForLeaderEpochRequest.self, &body, version)) { await admin.handle($0, version: version) }
    }
  }

  private func decode<Q: KafkaRequest>(_: Q.Type, _ body: inout ByteBuffer, _ version: Int16) throws -> Q {
    try KafkaMessageCodec.decode(Q.self, from: &body, version: version, ignoringRest: true)
  }
}

extension Call {
  /// Runs a control-plane request beside the event loops.
  func serve<Q: KafkaRequest>(_ request: Q, _ work: @escaping @Sendable (Q) async -> Q.Response) {
    Task { reply(await work(request)) }
  }
}
