import Cluster
import Metadata
import Model
import NIOPosix
import Synchronization

/// What the node database says is here, kept in step with what is about to be.
final class PartitionNotes: Sendable {
  private let kept = Mutex<Set<KeptPartition>>([])
  private let notes: KeptPartitions
  private let threads: NIOThreadPool

  init(_ notes: KeptPartitions, on threads: NIOThreadPool) {
    self.notes = notes
    self.threads = threads
  }

  /// Reads what an earlier life has left. Blocks.
  ///
  /// - Returns: that, and the newest revision of the image that it was noted with.
  func load() throws(ClusterError) -> (partitions: Set<KeptPartition>, revision: Int64) {
    let (partitions, revision) = try notes.load()
    kept.withLock { $0 = partitions }
    return (partitions, revision)
  }

  /// Notes what is about to be here, before it is.
  ///
  /// - Parameter revision: of the image that wants it.
  func note(_ wanted: [TopicPartition: PartitionDuty], _ revision: Int64) async throws(ClusterError) {
    let wanted = Set(wanted.map { KeptPartition($0.key, topicID: $0.value.topicID) })
    let added = kept.withLock { wanted.subtracting($0) }
    if added.isEmpty { return }
    try await threads.performing { [notes] () throws(ClusterError) in try notes.add(added, revision: revision) }
    kept.withLock { $0.formUnion(added) }
  }

  /// Notes what offline readers want to know of topics.
  func note(_ configured: [TopicImage]) async {
    let here = kept.withLock { Set($0.map(\.topicID)) }
    for topic in configured where here.contains(topic.id) {
      try? await threads.performing { [notes] () throws(ClusterError) in
        try notes.note(columns: topic.configuration.columns, partitionCount: topic.partitions.count, of: topic.name)
      }
    }
  }

  /// Of a partition whose files are gone.
  func forget(_ partition: TopicPartition, _ topicID: TopicID) async throws(ClusterError) {
    let gone = KeptPartition(partition, topicID: topicID)
    try await threads.performing { [notes] () throws(ClusterError) in try notes.remove([gone]) }
    _ = kept.withLock { $0.remove(gone) }
  }
}

extension NIOThreadPool {
  /// Does something that blocks on one of these threads.
  ///
  /// - Precondition: the pool runs until nothing is under way any more.
  func performing<Result: Sendable, Failure: Error>(
    _ work: @escaping @Sendable () throws(Failure) -> Result
  ) async throws(Failure) -> Result {
    let outcome: Swift.Result<Result, Failure> = await withCheckedContinuation { continuation in
      submit { _ in
        do throws(Failure) { continuation.resume(returning: .success(try work())) } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try outcome.get()
  }
}
