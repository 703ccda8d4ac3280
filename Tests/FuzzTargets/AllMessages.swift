public import KafkaProtocol

/// The request of every API; its response is an associated type of it.
public func requestType(_ key: APIKey) -> any KafkaRequest.Type {
  switch key {
  case .produce: ProduceRequest.self
  case .fetch: FetchRequest.self
  case .listOffsets: ListOffsetsRequest.self
  case .metadata: MetadataRequest.self
  case .offsetCommit: OffsetCommitRequest.self
  case .offsetFetch: OffsetFetchRequest.self
  case .findCoordinator: FindCoordinatorRequest.self
  case .joinGroup: JoinGroupRequest.self
  case .heartbeat: HeartbeatRequest.self
  case .leaveGroup: LeaveGroupRequest.self
  case .syncGroup: SyncGroupRequest.self
  case .describeGroups: DescribeGroupsRequest.self
  case .listGroups: ListGroupsRequest.self
  case .apiVersions: ApiVersionsRequest.self
  case .createTopics: CreateTopicsRequest.self
  case .deleteTopics: DeleteTopicsRequest.self
  case .deleteRecords: DeleteRecordsRequest.self
  case .initProducerID: InitProducerIDRequest.self
  case .offsetForLeaderEpoch: OffsetForLeaderEpochRequest.self
  case .describeConfigs: DescribeConfigsRequest.self
  case .alterConfigs: AlterConfigsRequest.self
  case .describeLogDirs: DescribeLogDirsRequest.self
  case .createPartitions: CreatePartitionsRequest.self
  case .deleteGroups: DeleteGroupsRequest.self
  case .electLeaders: ElectLeadersRequest.self
  case .alterPartitionReassignments: AlterPartitionReassignmentsRequest.self
  case .listPartitionReassignments: ListPartitionReassignmentsRequest.self
  case .incrementalAlterConfigs: IncrementalAlterConfigsRequest.self
  case .offsetDelete: OffsetDeleteRequest.self
  case .describeCluster: DescribeClusterRequest.self
  case .describeTopicPartitions: DescribeTopicPartitionsRequest.self
  }
}

/// The versions that can be read and written: those accepted, and for two APIs some that are still to be served.
public func knownVersions(_ key: APIKey) -> ClosedRange<Int16> {
  switch key {
  case .produce: 3...13
  case .fetch: 4...16
  default: ServedVersions.accepted(key)
  }
}
