internal import KafkaClient
internal import Model

/// Where reading begins in one partition.
struct PartitionStart: Equatable, Sendable {
  /// The first offset to be fetched: one that the partition has, or its end.
  var position: Int64
  /// The first offset that is wanted; beyond `position` if the log has not come so far yet.
  var firstWanted: Int64
}

enum StartOffsets {
  /// Finds the offsets of a position in each of the partitions; partitions that it leaves out are not in the answer.
  static func find(
    _ position: StartPosition, in partitions: [TopicPartition], _ client: KafkaClient
  ) async throws -> [TopicPartition: PartitionStart] {
    func same(_ offsets: [TopicPartition: Int64?]) -> [TopicPartition: PartitionStart] {
      offsets.compactMapValues { $0.map { PartitionStart(position: $0, firstWanted: $0) } }
    }
    switch position {
    case .beginning: return same(try await client.offsets(.earliest, of: partitions))
    case .end: return same(try await client.offsets(.latest, of: partitions))
    case .time(let time):
      var found = same(try await client.offsets(.time(time), of: partitions))
      let without = partitions.filter { found[$0] == nil }
      if !without.isEmpty {
        found.merge(same(try await client.offsets(.latest, of: without))) { first, _ in first }
      }
      return found
    case .offset(let offset, let only):
      let chosen = partitions.filter { only == nil || $0.partition == only }
      if let only, chosen.isEmpty { throw CommandFailure("there is no partition \(only)") }
      let starts = try await client.offsets(.earliest, of: chosen).compactMapValues { $0 }
      let ends = try await client.offsets(.latest, of: chosen).compactMapValues { $0 }
      var found: [TopicPartition: PartitionStart] = [:]
      for partition in chosen {
        let (start, end) = (starts[partition] ?? 0, ends[partition] ?? 0)
        found[partition] = PartitionStart(position: min(max(offset, start), end), firstWanted: offset)
      }
      return found
    }
  }
}
