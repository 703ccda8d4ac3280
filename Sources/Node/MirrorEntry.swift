import Cluster
import Gateway
import Metadata
import Model
import NIOCore
import Records
import Storage

/// The logs of mirrors, as the HTTP door has them: batches are validated on a read thread and appended as produced ones are.
struct MirrorEntry: MirrorLogs {
  let store: LogStore
  let cluster: any ClusterStore

  func describe(_ topic: String) async throws(MirrorRefusal) -> (topicID: TopicID, partitions: [MirrorExtent]) {
    guard let image = cluster.image.topics[topic] else { throw MirrorRefusal(.unknown, "there is no topic '\(topic)'") }
    var extents: [MirrorExtent] = []
    for number in image.partitions.indices {
      let log = try log(TopicPartition(topic: topic, partition: Int32(number)), "\(image.id)")
      extents.append(try await settle(log) { store.settledOffsets(of: log, completion: $0) })
    }
    return (image.id, extents)
  }

  func begin(_ partition: TopicPartition, topicID: String, at offset: Int64) async throws(MirrorRefusal) -> MirrorExtent {
    let log = try log(partition, topicID)
    return try await settle(log) { store.beginMirror(of: log, at: Offset(offset), completion: $0) }
  }

  func append(
    _ batches: ByteBuffer, to partition: TopicPartition, topicID: String, logStartOffset: Int64?
  ) async throws(MirrorRefusal) -> MirrorExtent {
    let log = try log(partition, topicID)
    let checked: Result<[BatchSummary], BatchRejection> = await withCheckedContinuation { continuation in
      store.runOnReadThread {
        do throws(BatchRejection) {
          continuation.resume(returning: .success(try LogStretch.validate(batches)))
        } catch { continuation.resume(returning: .failure(error)) }
      }
    }
    let summaries: [BatchSummary]
    do throws(BatchRejection) { summaries = try checked.get() } catch { throw MirrorRefusal(.invalid, error.message) }
    if summaries.isEmpty { return try await settle(log) { store.settledOffsets(of: log, completion: $0) } }
    let outcome = await withCheckedContinuation { continuation in
      store.append([
        AppendRequest(
          partition: log, records: batches, batches: summaries,
          placement: .keepingOffsets(logStartOffset: logStartOffset.map { Offset($0) }), requiredAcks: -1,
          receiver: Receipt(continuation), context: nil)
      ])
    }
    if case .rejected(let code, let message) = outcome {
      throw MirrorRefusal(Self.kind(code), message.isEmpty ? "\(code)" : message)
    }
    return try extent(log)
  }

  /// Waits for one append.
  private final class Receipt: AppendReceiver {
    private let continuation: CheckedContinuation<AppendOutcome, Never>
    init(_ continuation: CheckedContinuation<AppendOutcome, Never>) { self.continuation = continuation }
    func appendsCompleted(_ group: [AppendRequest]) { for request in group { continuation.resume(returning: request.outcome) } }
  }

  private func log(_ partition: TopicPartition, _ topicID: String) throws(MirrorRefusal) -> PartitionLog {
    guard let known = cluster.image.topics[partition.topic]?.partition(partition.partition) else {
      throw MirrorRefusal(.unknown, "there is no partition \(partition)")
    }
    guard let log = store.partition(partition), !log.isReplica else {
      let leader = known.leader.map { "node \($0)" } ?? "nobody now"
      throw MirrorRefusal(
        .failed, "partition \(partition) is led by \(leader): a mirror is written where its partitions are led")
    }
    guard "\(log.topicID)" == topicID else {
      throw MirrorRefusal(.unknown, "topic '\(partition.topic)' is not the one with id \(topicID), but a later one")
    }
    return log
  }

  private func settle(
    _ log: PartitionLog, _ work: (@escaping @Sendable (Result<LogOffsets, StorageError>) -> Void) -> Void
  ) async throws(MirrorRefusal) -> MirrorExtent {
    let outcome = await withCheckedContinuation { continuation in work { continuation.resume(returning: $0) } }
    do throws(StorageError) { _ = try outcome.get() } catch {
      if case .refused(.offsetOutOfRange) = error {
        throw MirrorRefusal(.misplaced, "the log of \(log.topicPartition) holds records, or ends behind that offset")
      }
      throw MirrorRefusal(Self.kind(error.code), "\(error)")
    }
    return try extent(log)
  }

  private func extent(_ log: PartitionLog) throws(MirrorRefusal) -> MirrorExtent {
    guard let offsets = log.offsets else { throw MirrorRefusal(.failed, "partition \(log.topicPartition) is closed") }
    return MirrorExtent(
      partition: log.topicPartition.partition, logStartOffset: offsets.logStartOffset.rawValue,
      logEndOffset: offsets.logEndOffset.rawValue)
  }

  private static func kind(_ code: ErrorCode) -> MirrorRefusal.Kind {
    switch code {
    case .offsetOutOfRange: .misplaced
    case .invalidRequest, .invalidRecord: .invalid
    case .unknownTopicOrPartition: .unknown
    default: .failed
    }
  }
}
