internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// DeleteRecords, versions 0 to 2: moves a partition's log start forward (KIP-107); offset -1 is the high watermark.
extension AdminContext {
  private static let toHighWatermark: Int64 = -1
  private static let noLowWatermark: Int64 = -1

  func handle(_ request: DeleteRecordsRequest, version: Int16) async -> DeleteRecordsResponse {
    var response = DeleteRecordsResponse()
    for topic in request.topics {
      var topicResult = DeleteRecordsResponse.TopicResult()
      topicResult.name = topic.name
      for asked in topic.partitions {
        var row = DeleteRecordsResponse.PartitionResult()
        row.partitionIndex = asked.partitionIndex
        do throws(ErrorCode) {
          let partition = TopicPartition(topic: topic.name, partition: asked.partitionIndex)
          row.lowWatermark = try await deleteRecords(partition, before: asked.offset).rawValue
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

  private func deleteRecords(_ partition: TopicPartition, before offset: Int64) async throws(ErrorCode) -> Offset {
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
    case .success(let logStartOffset): return logStartOffset
    case .failure(let error): throw error.errorCode
    }
  }
}
