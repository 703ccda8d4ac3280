internal import KafkaClient
internal import Model
internal import Query

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
    _ position: RangeBound, in partitions: [TopicPartition], _ client: KafkaClient
  ) async throws -> [TopicPartition: PartitionStart] {
    func same(_ offsets: [TopicPartition: Int64?]) -> [TopicPartition: PartitionStart] {
      offsets.compactMapValues { $0.map { PartitionStart(position: $0, firstWanted: $0) } }
    }
    switch position {
    case .beginning: return same(try await client.offsets(.earliest, of: partitions))
    case .end: return same(try await client.offsets(.latest, of: partitions))
    case .timestamp(let time):
      var found = same(try await client.offsets(.time(time), of: partitions))
      let without = partitions.filter { found[$0] == nil }
      if !without.isEmpty {
        found.merge(same(try await client.offsets(.latest, of: without))) { first, _ in first }
      }
      return found
    case .offset(let offset): return try await find(offset, in: partitions, client)
    case .partitionOffset(let number, let offset):
      let chosen = partitions.filter { $0.partition == number }
      if chosen.isEmpty { throw CommandFailure("there is no partition \(number)") }
      return try await find(offset, in: chosen, client)
    }
  }

  private static func find(
    _ offset: Int64, in partitions: [TopicPartition], _ client: KafkaClient
  ) async throws -> [TopicPartition: PartitionStart] {
    let starts = try await client.offsets(.earliest, of: partitions).compactMapValues { $0 }
    let ends = try await client.offsets(.latest, of: partitions).compactMapValues { $0 }
    var found: [TopicPartition: PartitionStart] = [:]
    for partition in partitions {
      let (start, end) = (starts[partition] ?? 0, ends[partition] ?? 0)
      found[partition] = PartitionStart(position: min(max(offset, start), end), firstWanted: offset)
    }
    return found
  }
}
