internal import KafkaClient
internal import Model
internal import Query

/// Reads partitions without a group, from a position to their end or for ever.
enum TopicReader {
  /// How long a fetch waits for records.
  static let wait = Duration.milliseconds(500)

  static func run(
    client: KafkaClient, printer: RecordPrinter, partitions: [TopicPartition], start: RangeBound, isFollowing: Bool
  ) async throws {
    defer { printer.finish() }
    let starts = try await StartOffsets.find(start, in: partitions, client)
    let ends = isFollowing ? [:] : try await client.offsets(.latest, of: Array(starts.keys)).compactMapValues { $0 }
    var cursors = ReadCursors(starts: starts, ends: ends)
    var fetch = cursors.fetch(with: client)
    defer { fetch?.cancel() }
    while let current = fetch, !printer.isDone {
      let fetched: [FetchedPartition]
      do {
        fetched = try await value(of: current)
      } catch let error as KafkaClientError where error.kafkaCode == .offsetOutOfRange {
        try await cursors.skipWhatIsGone(client)
        fetch = cursors.fetch(with: client)
        continue
      }
      // The next fetch is on its way while these records are printed.
      let positions = cursors.positions
      try cursors.advance(over: fetched)
      fetch = cursors.fetch(with: client)
      for each in fetched {
        _ = try printer.print(each, from: positions[each.partition]!, in: cursors.wanted(each.partition))
      }
      try printer.flush()
    }
    try printer.flush()
  }

  private static func value<R: Sendable>(of task: Task<R, any Error>) async throws -> R {
    try await withTaskCancellationHandler {
      try await task.value
    } onCancel: {
      task.cancel()
    }
  }
}

/// Where reading stands in each partition, and where it ends.
struct ReadCursors: Sendable {
  /// The next offset to fetch, of partitions that are not finished.
  private(set) var positions: [TopicPartition: Int64]
  private let firstWanted: [TopicPartition: Int64]
  /// The offset at which a partition is finished; those that are not in it go on for ever.
  private let ends: [TopicPartition: Int64]

  init(starts: [TopicPartition: PartitionStart], ends: [TopicPartition: Int64]) {
    positions = starts.mapValues(\.position).filter { partition, position in ends[partition].map { position < $0 } ?? true }
    firstWanted = starts.mapValues(\.firstWanted)
    self.ends = ends
  }

  func wanted(_ partition: TopicPartition) -> Range<Int64> {
    let first = firstWanted[partition] ?? 0
    return first..<max(first, ends[partition] ?? .max)
  }

  /// Begins to fetch what comes next; nil when everything is finished.
  func fetch(with client: KafkaClient) -> Task<[FetchedPartition], any Error>? {
    if positions.isEmpty { return nil }
    return Task { [positions] in try await client.fetch(positions, wait: TopicReader.wait) }
  }

  mutating func advance(over fetched: [FetchedPartition]) throws {
    for each in fetched {
      guard let next = try FetchedBatches.nextOffset(of: each) else { continue }
      advance(each.partition, to: next)
    }
  }

  mutating func advance(_ partition: TopicPartition, to next: Int64) {
    if let end = ends[partition], next >= end {
      positions[partition] = nil
    } else if let position = positions[partition] {
      positions[partition] = max(position, next)
    }
  }

  /// Moves on to the log start offset where records were deleted before they could be read, and says so.
  mutating func skipWhatIsGone(_ client: KafkaClient) async throws {
    let starts = try await client.offsets(.earliest, of: Array(positions.keys)).compactMapValues { $0 }
    var hasMoved = false
    for (partition, start) in starts where positions[partition]! < start {
      say("partition \(partition.partition): the records before offset \(start) are gone; going on there")
      advance(partition, to: start)
      hasMoved = true
    }
    if !hasMoved { throw CommandFailure("the offset to read from is beyond the end of the topic") }
  }
}
