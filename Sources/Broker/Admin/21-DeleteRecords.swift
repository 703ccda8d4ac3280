internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// DeleteRecords, versions 0 to 2: moves a partition's log start forward (KIP-107); offset -1 is the high watermark. Answered when every in-sync replica
/// has done so too, within the time that the request gives.
extension AdminContext {
  private static let toHighWatermark: Int64 = -1
  private static let noLowWatermark: Int64 = -1

  func handle(_ request: DeleteRecordsRequest, version: Int16) async -> DeleteRecordsResponse {
    var response = DeleteRecordsResponse()
    let deadline = ContinuousClock.now + .milliseconds(Int64(max(0, request.timeoutMs)))
    for topic in request.topics {
      var topicResult = DeleteRecordsResponse.TopicResult()
      topicResult.name = topic.name
      for asked in topic.partitions {
        var row = DeleteRecordsResponse.PartitionResult()
        row.partitionIndex = asked.partitionIndex
        do throws(ErrorCode) {
          let partition = TopicPartition(topic: topic.name, partition: asked.partitionIndex)
          row.lowWatermark = try await deleteRecords(partition, before: asked.offset, until: deadline).rawValue
        } catch {
          let partition = TopicPartition(topic: topic.name, partition: asked.partitionIndex)
          row.errorCode = partitions.outcome(error, of: partition, in: cluster.image)
          row.lowWatermark = Self.noLowWatermark
        }
        topicResult.partitions.append(row)
      }
      response.topics.append(topicResult)
    }
    return response
  }

  private func deleteRecords(
    _ partition: TopicPartition, before offset: Int64, until deadline: ContinuousClock.Instant
  ) async throws(ErrorCode) -> Offset {
    let log = try partitions.led(partition, in: cluster.image)
    let loaded: Result<LogOffsets, StorageError> = await onReadThread {
      Result { () throws(StorageError) in try log.loadNow() }
    }
    let offsets: LogOffsets
    switch loaded {
    case .success(let value): offsets = value
    case .failure(let error): throw error.errorCode
    }
    let target = offset == Self.toHighWatermark ? offsets.highWatermark : Offset(offset)
    guard target.rawValue >= 0, target <= offsets.highWatermark else { throw .offsetOutOfRange }
    // Below the log start there is nothing left to delete; Kafka answers with the log start.
    if target <= offsets.logStartOffset { return offsets.logStartOffset }
    let outcome: Result<Offset, StorageError> = await withCheckedContinuation { continuation in
      store.deleteRecords(in: partition, before: target) { continuation.resume(returning: $0) }
    }
    switch outcome {
    case .success(let logStartOffset):
      try await waitForReplicas(of: partition, until: deadline)
      return logStartOffset
    case .failure(let error): throw error.errorCode
    }
  }

  /// Waits until every in-sync replica has what is committed by now.
  private func waitForReplicas(of partition: TopicPartition, until deadline: ContinuousClock.Instant) async throws(ErrorCode) {
    var wanted: Int64?
    var pause = Duration.milliseconds(2)
    while true {
      let found = await withCheckedContinuation { continuation in
        store.commits(of: partition) { continuation.resume(returning: $0) }
      }
      switch found {
      case .failure(let error): throw error.errorCode
      case .success(let commits):
        if wanted == nil { wanted = commits.last }
        if commits.replicated >= wanted ?? 0 { return }
      }
      // What was deleted stays so, and reaches the replicas yet.
      if ContinuousClock.now >= deadline { throw .requestTimedOut }
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .milliseconds(50))
    }
  }
}
