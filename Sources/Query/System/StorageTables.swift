internal import Model
internal import Records
internal import Storage

/// The system tables that storage answers: topics, partitions, segments, batches, producers. Made for one session, which sees one cut.
final class StorageTables {
  typealias Producers = (String?) throws(HistoryError) -> [(TopicPartition, ProducerDescription)]
  private let take: ([String]?) throws(HistoryError) -> HistorySnapshot
  private let cut: () throws(HistoryError) -> [String: any HistorySource]
  private let producers: Producers
  private var all: HistorySnapshot?
  private var byTopic: [String: HistorySnapshot] = [:]
  /// The topics that `all` has as statements see them.
  private var shown: Set<String> = []

  /// - Parameters:
  ///   - take: one cut of some topics (nil: of all).
  ///   - cut: what the session's statements see of topics.
  init(
    snapshot take: @escaping ([String]?) throws(HistoryError) -> HistorySnapshot,
    cut: @escaping () throws(HistoryError) -> [String: any HistorySource], producers: @escaping Producers
  ) {
    self.take = take
    self.cut = cut
    self.producers = producers
  }

  /// The partitions that a request asks for, all of one cut; it is taken at the first question.
  func partitions(_ request: SystemRequest) throws(HistoryError) -> (snapshot: HistorySnapshot, [PartitionHistory]) {
    let snapshot = try snapshot(request.text("topic"))
    let number = request.integer("partition")
    return (
      snapshot,
      snapshot.partitions.filter {
        (request.text("topic") ?? $0.topic) == $0.topic && (number ?? Int64($0.partition)) == Int64($0.partition)
      }
    )
  }

  private func snapshot(_ topic: String?) throws(HistoryError) -> HistorySnapshot {
    let seen = try cut().compactMapValues { ($0 as? SnapshotHistory)?.snapshot }
    if let topic, let snapshot = seen[topic] { return snapshot }
    if let all, topic != nil { return all }
    guard let topic else {
      var taken = if let all { all } else { try take(nil) }
      let missing = seen.filter { !shown.contains($0.key) }
      for (_, topics) in Dictionary(grouping: missing, by: { ObjectIdentifier($0.value) }) {
        taken = taken.showing(Set(topics.map(\.key)), of: topics[0].value)
      }
      shown.formUnion(missing.keys)
      all = taken
      return taken
    }
    if let known = byTopic[topic] { return known }
    let taken = try take([topic])
    byTopic[topic] = taken
    return taken
  }

  var tables: [SystemTable] {
    [
      SystemTable(
        "quire_topics",
        [
          .init("topic", .text, isKey: true), .init("topic_id", .text), .init("partitions", .integer),
          .init("records", .integer), .init("segments", .integer), .init("bytes", .integer),
          .init("oldest_timestamp", .integer), .init("newest_timestamp", .integer), .init("newest_time", .text),
        ], all: topics),
      SystemTable(
        "quire_partitions",
        [
          .init("topic", .text, isKey: true), .init("partition", .integer, isKey: true),
          .init("log_start_offset", .integer), .init("high_watermark", .integer), .init("records", .integer),
          .init("segments", .integer), .init("bytes", .integer), .init("oldest_timestamp", .integer),
          .init("newest_timestamp", .integer), .init("newest_time", .text), .init("failure", .text),
        ], all: partitionRows),
      SystemTable(
        "quire_segments",
        [
          .init("topic", .text, isKey: true), .init("partition", .integer, isKey: true), .init("base_offset", .integer),
          .init("end_offset", .integer), .init("generation", .integer), .init("is_sealed", .integer),
          .init("batch_bytes", .integer), .init("file_bytes", .integer), .init("min_timestamp", .integer),
          .init("max_timestamp", .integer), .init("path", .text),
        ], all: segments),
      SystemTable(
        "quire_batches",
        [
          .init("topic", .text, isKey: true), .init("partition", .integer, isKey: true),
          .init("base_offset", .integer, isKey: true), .init("last_offset", .integer), .init("records", .integer),
          .init("min_timestamp", .integer), .init("max_timestamp", .integer), .init("bytes", .integer),
          .init("compression", .text), .init("leader_epoch", .integer), .init("producer_id", .integer),
          .init("producer_epoch", .integer), .init("base_sequence", .integer), .init("is_transactional", .integer),
          .init("is_control", .integer),
        ]
      ) { [self] (request) throws(HistoryError) in try BatchRows(request, self) },
      SystemTable(
        "quire_producers",
        [
          .init("topic", .text, isKey: true), .init("partition", .integer), .init("producer_id", .integer),
          .init("producer_epoch", .integer), .init("last_sequence", .integer), .init("last_timestamp", .integer),
        ], all: producerRows),
      // No producer can begin a transaction: InitProducerId refuses transactional ids.
      SystemTable(
        "quire_transactions",
        [
          .init("transactional_id", .text), .init("producer_id", .integer), .init("producer_epoch", .integer),
          .init("state", .text), .init("timeout_ms", .integer), .init("started", .integer), .init("partitions", .text),
        ]
      ) { (_) throws(HistoryError) in [] },
    ]
  }

  // What is known of a partition as a whole.

  private func times(_ partition: PartitionHistory, _ snapshot: HistorySnapshot, _ control: ScanControl) throws(HistoryError)
    -> (
      oldest: Int64?, newest: Int64?
    )
  {
    if partition.failure != nil || partition.highWatermark <= partition.logStartOffset { return (nil, nil) }
    guard let oldest = partition.segments.map(\.minTimestamp).min(), let newest = partition.segments.map(\.maxTimestamp).max(),
      let first = partition.segments.first, oldest <= newest
    else { return (nil, nil) }
    // Where the log start lies within a segment, what that has of times may be of records that are gone.
    let isCut = first.baseOffset < partition.logStartOffset
    return (
      isCut && first.minTimestamp == oldest ? try end(partition, snapshot, control, isNewest: false) : oldest,
      isCut && first.maxTimestamp == newest ? try end(partition, snapshot, control, isNewest: true) : newest
    )
  }

  private func end(
    _ partition: PartitionHistory, _ snapshot: HistorySnapshot, _ control: ScanControl, isNewest: Bool
  ) throws(HistoryError) -> Int64? {
    let history = SnapshotHistory(snapshot)
    guard let index = snapshot.partitions.firstIndex(where: { $0.topicPartition == partition.topicPartition }) else {
      return nil
    }
    let request = PartitionScan.Request(
      offsets: .all, timestamps: .all, isDescending: isNewest, columns: TopicColumn.timestamp.bit)
    let scan = PartitionScan(index, of: history, request: request, context: ScanContext(control: control), staysOpen: false)
    let order = TimeOrder([.init(key: .timestamp, isDescending: isNewest)])
    return try TimedRows([(scan, 0)], order: order, first: 1).next()?.timestamp
  }

  private func partitionRows(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    let (snapshot, partitions) = try partitions(request)
    var rows: [[SQLValue]] = []
    for partition in partitions {
      var row: [SQLValue] = [.text(partition.topic), .integer(Int64(partition.partition))]
      if let failure = partition.failure {
        rows.append(row + [SQLValue](repeating: .null, count: 8) + [.text("\(failure)")])
        continue
      }
      let (oldest, newest) = try times(partition, snapshot, request.control)
      row += [
        .integer(partition.logStartOffset.rawValue), .integer(partition.highWatermark.rawValue),
        .integer(partition.highWatermark.rawValue - partition.logStartOffset.rawValue),
        .integer(Int64(partition.segments.count)), .integer(partition.segments.reduce(0) { $0 + $1.batchBytes }),
        SQLValue(oldest), SQLValue(newest), SQLValue(newest.flatMap { TimeText.text($0) }), .null,
      ]
      rows.append(row)
    }
    return rows
  }

  private func topics(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    let (snapshot, partitions) = try partitions(request)
    var rows: [[SQLValue]] = []
    for (topic, partitions) in Dictionary(grouping: partitions, by: \.topic).sorted(by: { $0.key < $1.key }) {
      var oldest: Int64?
      var newest: Int64?
      for partition in partitions {
        let times = try times(partition, snapshot, request.control)
        if let time = times.oldest { oldest = min(oldest ?? time, time) }
        if let time = times.newest { newest = max(newest ?? time, time) }
      }
      let readable = partitions.filter { $0.failure == nil }
      rows.append([
        .text(topic), .text("\(partitions[0].topicID)"), .integer(Int64(partitions.count)),
        .integer(readable.reduce(0) { $0 + $1.highWatermark.rawValue - $1.logStartOffset.rawValue }),
        .integer(Int64(readable.reduce(0) { $0 + $1.segments.count })),
        .integer(readable.reduce(0) { $0 + $1.segments.reduce(0) { $0 + $1.batchBytes } }),
        SQLValue(oldest), SQLValue(newest), SQLValue(newest.flatMap { TimeText.text($0) }),
      ])
    }
    return rows
  }

  private func segments(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    try partitions(request).1.flatMap { partition in
      partition.segments.map { segment in
        let isEmpty = segment.minTimestamp > segment.maxTimestamp
        return [
          .text(partition.topic), .integer(Int64(partition.partition)), .integer(segment.baseOffset.rawValue),
          .integer(segment.endOffset.rawValue), .integer(segment.generation), .integer(segment.isSealed ? 1 : 0),
          .integer(segment.batchBytes), .integer(segment.fileBytes), isEmpty ? .null : .integer(segment.minTimestamp),
          isEmpty ? .null : .integer(segment.maxTimestamp), .text(segment.path),
        ]
      }
    }
  }

  private func producerRows(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    try producers(request.text("topic")).map { partition, producer in
      [
        .text(partition.topic), .integer(Int64(partition.partition)), .integer(producer.producerID),
        .integer(Int64(producer.producerEpoch)), .integer(Int64(producer.lastSequence)), .integer(producer.lastTimestamp),
      ]
    }
  }
}

extension SQLParameter {
  init(_ value: Int64?) { self = value.map { .integer($0) } ?? .null }
  init(_ value: String?) { self = value.map { .text($0) } ?? .null }
}

/// `quire_batches`: rows as they are read, whatever their number.
private final class BatchRows: SystemRows {
  private let history: SnapshotHistory
  private var waiting: ArraySlice<Int>
  private let request: SystemRequest
  private var current: (batches: any BatchSequence, extent: PartitionExtent)?
  private let needsHeader: Bool

  init(_ request: SystemRequest, _ tables: StorageTables) throws(HistoryError) {
    let (snapshot, partitions) = try tables.partitions(request)
    history = SnapshotHistory(snapshot)
    self.request = request
    let wanted = Set(partitions.map(\.topicPartition))
    waiting = snapshot.partitions.indices.filter { wanted.contains(snapshot.partitions[$0].topicPartition) }[...]
    // What only the batch itself tells begins with its size.
    needsHeader = request.columns >> 7 != 0
  }

  func next() throws(HistoryError) -> [SQLValue]? {
    while true {
      if let (batches, extent) = current {
        if let row = try batches.next() { return try values(row, batches, extent) }
        current = nil
      }
      guard let index = waiting.popFirst() else { return nil }
      let extent = history.partitions[index]
      guard extent.highWatermark > extent.logStartOffset else { continue }
      let batches = try history.openBatches(of: index)
      let asked = request.integer("base_offset").map { max($0, extent.logStartOffset)...max($0, extent.logStartOffset) }
      try batches.seek(
        BatchSelection(
          offsets: asked ?? extent.logStartOffset...extent.highWatermark - 1, timestamps: Int64.min...Int64.max,
          isDescending: false))
      current = (batches, extent)
    }
  }

  private func values(_ row: BatchRow, _ batches: any BatchSequence, _ extent: PartitionExtent) throws(HistoryError)
    -> [SQLValue]
  {
    // One without records has no times.
    let isEmpty = row.minTimestamp > row.maxTimestamp
    var values: [SQLValue] = [
      .text(extent.topic), .integer(Int64(extent.partition)), .integer(row.baseOffset), .integer(row.lastOffset),
      .integer(Int64(row.recordCount)), isEmpty ? .null : .integer(row.minTimestamp),
      isEmpty ? .null : .integer(row.maxTimestamp),
    ]
    guard needsHeader else { return values }
    try batches.withHeader { (bytes) throws(HistoryError) in
      let header: BatchHeader
      do throws(RecordsError) { header = try BatchHeader(bytes) } catch {
        throw HistoryError(.damaged, "a record batch of \(extent.topic)-\(extent.partition) is damaged: \(error)")
      }
      values += [
        .integer(Int64(header.totalBytes)), .text(header.compression.description), .integer(Int64(header.partitionLeaderEpoch)),
        header.hasProducerID ? .integer(header.producerID) : .null,
        header.hasProducerID ? .integer(Int64(header.producerEpoch)) : .null,
        header.baseSequence >= 0 ? .integer(Int64(header.baseSequence)) : .null, .integer(header.isTransactional ? 1 : 0),
        .integer(header.isControl ? 1 : 0),
      ]
    }
    return values
  }
}
