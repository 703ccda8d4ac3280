internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Records
internal import Storage

/// Produce, versions 3 to 11 (0 to 2 are advertised for the sake of librdkafka before 2.11 and refused: message formats 0 and 1).
///
/// Each partition's one record batch is validated, and handed to the partition's storage lane at the end of the read cycle, together
/// with those of all other requests that arrived in it. KIP-98 (idempotence), KIP-467 (record errors), KIP-951 (who leads instead).
extension Call {
  func handle(_ request: ProduceRequest) {
    if let error = refusal(request) {
      return ProduceOperation(call: self, acks: request.acks, bytes: 0, response: refuse(request, error), open: 0).answer(error)
    }
    let check = ProduceCheck(request: request, version: version, broker: connection.broker)
    guard check.mayTakeLong else { return submit(check.run(), of: request) }
    // A small batch may decompress to a gigabyte: that must not hold up the other connections of the loop.
    let connection = connection
    connection.suspendStarting()
    connection.broker.validationThreads.submit { _ in
      let checked = check.run()
      connection.loop.eventLoop.execute {
        submit(checked, of: request)
        connection.resumeStarting()
      }
    }
  }

  /// What is wrong with the request as a whole.
  private func refusal(_ request: ProduceRequest) -> ErrorCode? {
    if request.acks < -1 || request.acks > 1 { return .invalidRequiredAcks }
    return request.transactionalID == nil ? nil : .transactionalIDAuthorizationFailed
  }

  /// On the loop: hands what is valid to the storage lanes, answers if that is nothing.
  private func submit(_ checked: ProduceCheck.Outcome, of request: ProduceRequest) {
    let operation = ProduceOperation(
      call: self, acks: request.acks, bytes: checked.byteCount, response: checked.response, open: checked.accepted.count,
      failure: checked.failure)
    guard !checked.accepted.isEmpty else { return operation.answer(checked.failure) }
    connection.produceStarted(bytes: checked.byteCount)
    for part in checked.accepted {
      connection.loop.enqueue(
        AppendRequest(
          partition: part.log, records: part.records, batches: part.batches, requiredAcks: request.acks,
          timeoutMilliseconds: Int64(request.timeoutMs), receiver: connection.loop,
          context: ProducePart(operation: operation, topic: part.topic, partition: part.partition)))
    }
  }

  /// The reply that refuses every partition with the same error.
  private func refuse(_ request: ProduceRequest, _ error: ErrorCode) -> ProduceResponse {
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

/// The validation of one produce request: from what the client sent to what each partition is to store, or why not.
struct ProduceCheck: Sendable {
  let request: ProduceRequest
  let version: Int16
  let broker: BrokerContext

  struct Accepted: Sendable {
    var topic: Int
    var partition: Int
    var log: PartitionLog
    var records: ByteBuffer
    var batches: [BatchSummary]
  }
  struct Outcome: Sendable {
    /// A row for each partition; those refused carry their error.
    var response = ProduceResponse()
    var accepted: [Accepted] = []
    var byteCount = 0
    /// The last error of a partition.
    var failure: ErrorCode?
  }

  /// Bytes of a compressed batch from which it is decompressed beside the event loop.
  private static let longBytes = 4096

  /// Some partition's batch is not small, and is compressed, or is to be.
  var mayTakeLong: Bool {
    let image = broker.cluster.image
    return request.topicData.contains { topic in
      topic.partitionData.contains { part in
        guard let records = part.records, records.byteCount >= Self.longBytes, let chunk = records.chunks.first else {
          return false
        }
        // The attributes' low byte; its low three bits are the codec.
        if (chunk.getInteger(at: chunk.readerIndex + 22, as: UInt8.self) ?? 0) & 7 != 0 { return true }
        let policy = image.topics[topic.name]?.configuration.compression ?? .producer
        return policy != .producer && policy != .uncompressed
      }
    }
  }

  func run() -> Outcome {
    let image = broker.cluster.image
    let now = broker.now()
    var outcome = Outcome()
    for topic in request.topicData {
      var topicResponse = ProduceResponse.TopicProduceResponse()
      topicResponse.name = topic.name
      for part in topic.partitionData {
        var row = ProduceResponse.PartitionProduceResponse()
        row.index = part.index
        row.baseOffset = -1
        do throws(BatchRejection) {
          let (log, configuration) = try destination(topic.name, part.index, image)
          let valid = try validate(part.records, configuration, now: now)
          outcome.accepted.append(
            Accepted(
              topic: outcome.response.responses.count, partition: topicResponse.partitionResponses.count, log: log,
              records: valid.records, batches: valid.batches))
          outcome.byteCount += valid.records.readableBytes
        } catch {
          row.errorCode = error.code
          row.errorMessage = error.message.isEmpty ? nil : error.message
          row.recordErrors = error.recordErrors.map {
            var complaint = ProduceResponse.BatchIndexAndErrorMessage()
            complaint.batchIndex = $0.batchIndex
            complaint.batchIndexErrorMessage = $0.message
            return complaint
          }
          outcome.failure = error.code
        }
        topicResponse.partitionResponses.append(row)
      }
      outcome.response.responses.append(topicResponse)
    }
    return outcome
  }

  private func destination(
    _ topic: String, _ partition: Int32, _ image: ClusterImage
  ) throws(BatchRejection) -> (PartitionLog, TopicConfiguration) {
    if let complaint = TopicName.complaint(about: topic) { throw BatchRejection(.invalidTopicException, complaint) }
    let log: PartitionLog
    do throws(ErrorCode) {
      log = try broker.partitions.led(TopicPartition(topic: topic, partition: partition), in: image)
    } catch { throw BatchRejection(error, "") }
    guard let topicImage = image.topics[topic] else { throw BatchRejection(.unknownTopicOrPartition, "") }
    // Where there are more replicas the storage lane knows how many are in sync.
    guard request.acks != -1 || topicImage.configuration.minInSyncReplicas <= 1 || log.hasReplicas else {
      throw BatchRejection(.notEnoughReplicas, "1 replica is in sync, min.insync.replicas asks for more")
    }
    return (log, topicImage.configuration)
  }

  private func validate(
    _ records: RecordsField?, _ configuration: TopicConfiguration, now: Int64
  ) throws(BatchRejection) -> (records: ByteBuffer, batches: [BatchSummary]) {
    guard let records, !records.isEmpty else { throw BatchRejection(.invalidRecord, "the partition has no record batch") }
    let valid = try BatchValidator.validate(records.joined, rules: ValidationRules(configuration: configuration, now: now))
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
}
