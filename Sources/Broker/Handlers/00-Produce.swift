internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import NIOCore
internal import Records
internal import Storage

/// Produce, versions 3 to 11 (0 to 2 are advertised for the sake of librdkafka before 2.11 and refused: message formats 0 and 1).
///
/// Each partition's one record batch is validated here, on the event loop, and handed to the partition's storage lane at the end of
/// the read cycle, together with those of all other requests that arrived in it. KIP-98 (idempotence), KIP-467 (record errors).
extension Call {
  func handle(_ request: ProduceRequest) {
    let broker = connection.broker
    var response = ProduceResponse()
    guard request.acks >= -1, request.acks <= 1 else {
      return ProduceOperation(call: self, acks: request.acks, bytes: 0, response: refusal(request, .invalidRequiredAcks), open: 0)
        .answer(.invalidRequiredAcks)
    }
    guard request.transactionalID == nil else {
      let error = ErrorCode.transactionalIDAuthorizationFailed
      return ProduceOperation(call: self, acks: request.acks, bytes: 0, response: refusal(request, error), open: 0).answer(error)
    }
    let image = broker.cluster.image
    let now = broker.now()
    var accepted: [(topic: Int, partition: Int, log: PartitionLog, records: ByteBuffer, batches: [BatchSummary])] = []
    var failure: ErrorCode?
    var bytes = 0
    for topic in request.topicData {
      var topicResponse = ProduceResponse.TopicProduceResponse()
      topicResponse.name = topic.name
      let topicImage = image.topics[topic.name]
      for part in topic.partitionData {
        var row = ProduceResponse.PartitionProduceResponse()
        row.index = part.index
        row.baseOffset = -1
        row.logAppendTimeMs = -1
        row.logStartOffset = -1
        do throws(BatchRejection) {
          guard let topicImage else {
            let complaint = TopicName.complaint(about: topic.name)
            throw BatchRejection(complaint == nil ? .unknownTopicOrPartition : .invalidTopicException, complaint ?? "")
          }
          guard let log = broker.store.partition(TopicPartition(topic: topic.name, partition: part.index)),
            log.topicID == topicImage.id
          else { throw BatchRejection(.unknownTopicOrPartition, "") }
          guard request.acks != -1 || topicImage.configuration.minInSyncReplicas <= 1 else {
            throw BatchRejection(.notEnoughReplicas, "1 replica is in sync, min.insync.replicas asks for more")
          }
          let valid = try validate(part.records, topicImage.configuration, now: now)
          accepted.append((response.responses.count, topicResponse.partitionResponses.count, log, valid.records, valid.batches))
          bytes += valid.records.readableBytes
        } catch {
          row.errorCode = error.code
          row.errorMessage = error.message.isEmpty ? nil : error.message
          row.recordErrors = error.recordErrors.map {
            var complaint = ProduceResponse.BatchIndexAndErrorMessage()
            complaint.batchIndex = $0.batchIndex
            complaint.batchIndexErrorMessage = $0.message
            return complaint
          }
          failure = error.code
        }
        topicResponse.partitionResponses.append(row)
      }
      response.responses.append(topicResponse)
    }
    let operation = ProduceOperation(call: self, acks: request.acks, bytes: bytes, response: response, open: accepted.count)
    guard !accepted.isEmpty else { return operation.answer(failure) }
    connection.produceStarted(bytes: bytes)
    for part in accepted {
      connection.loop.enqueue(
        AppendRequest(
          partition: part.log, records: part.records, batches: part.batches, requiredAcks: request.acks,
          receiver: connection.loop,
          context: ProducePart(operation: operation, topic: part.topic, partition: part.partition)))
    }
  }

  private func validate(
    _ records: RecordsField?, _ configuration: TopicConfiguration, now: Int64
  ) throws(BatchRejection) -> (records: ByteBuffer, batches: [BatchSummary]) {
    guard let chunk = records?.chunks.first, chunk.readableBytes > 0 else {
      throw BatchRejection(.invalidRecord, "the partition has no record batch")
    }
    let valid = try BatchValidator.validate(chunk, rules: ValidationRules(configuration: configuration, now: now))
    for batch in valid.batches {
      if batch.header.isTransactional {
        throw BatchRejection(.transactionalIDAuthorizationFailed, "transactions are not served")
      }
      if batch.header.compression == .zstd, version < 7 {
        throw BatchRejection(.unsupportedCompressionType, "zstd needs Produce version 7 or later")
      }
    }
    return valid
  }

  /// The reply that refuses every partition with the same error.
  private func refusal(_ request: ProduceRequest, _ error: ErrorCode) -> ProduceResponse {
    var response = ProduceResponse()
    response.responses = request.topicData.map { topic in
      var topicResponse = ProduceResponse.TopicProduceResponse()
      topicResponse.name = topic.name
      topicResponse.partitionResponses = topic.partitionData.map { part in
        var row = ProduceResponse.PartitionProduceResponse()
        row.index = part.index
        row.errorCode = error
        row.baseOffset = -1
        return row
      }
      return topicResponse
    }
    return response
  }
}
