internal import Glibc
internal import Logging
internal import Model
internal import Records
internal import SQLite
internal import Storage

/// What the builder knows of one partition's index files. Used by the thread that builds.
final class PartitionIndexing {
  let topicID: TopicID
  private let log: PartitionLog
  private let files: IndexFiles
  private let logger: Logger

  /// A file that was looked at in this life of the node.
  private struct Known {
    var inode: UInt64
    var records: Int64
    var definitions: Set<String>
    /// It has been read whole, or written. Look-ups need not know: they verify each page that they read.
    var isVerified = false
  }
  private var known: [IndexName: Known] = [:]
  /// Where the files are, once it is known.
  private var directory: String?
  private var definitions: Set<String>?
  private var highWatermark: Int64 = -1
  private var logStart: Int64 = -1
  private var lastLook: Int64?
  private var changed: Int64 = 0
  private var lastBuilt: Int64?
  /// What was left when there was nothing more to do; nil: there may be.
  private var rest: Rest?
  private struct Rest {
    /// Up to where the active segment is indexed.
    var covered: Int64
    var bytesPerRecord: Int64
  }
  /// Segments that ended with nothing to index, by base: their ends.
  private var endsWithoutRecords: [Int64: Int64] = [:]
  private var retryAt: Int64 = 0
  /// Segments that cannot be indexed, by base, and when they are tried again.
  private var refused: [Int64: Int64] = [:]
  /// Records that no index covers.
  private(set) var uncovered: Int64 = 0

  private static let retryMilliseconds: Int64 = 10_000
  /// How long a segment is left alone that could not be indexed.
  private static let refusalMilliseconds: Int64 = 600_000
  /// Bytes that are left to others on the disk, beside twice the batches to be indexed.
  private static let freeBytesMin: Int64 = 64 << 20
  private static let lookMilliseconds: Int64 = 60_000

  struct Built {
    var records: Int64
    var files: Int64
  }

  init(_ log: PartitionLog, _ files: IndexFiles, _ logger: Logger) {
    self.log = log
    topicID = log.topicID
    self.files = files
    self.logger = logger
  }

  /// Does one piece of work.
  ///
  /// - Returns: nil if there was none.
  func advance(
    _ wanted: [IndexDefinition], in store: LogStore, _ feed: any IndexFeed, partitions: Int, damaged: Set<String>, now: Int64,
    shouldStop: @escaping @Sendable () -> Bool
  ) -> Built? {
    let texts = Set(wanted.map(\.text))
    if texts != definitions {
      definitions = texts
      rest = nil
      refused = [:]
    }
    if texts.isEmpty {
      uncovered = 0
      if rest == nil { removeAll(store) }
      rest = Rest(covered: 0, bytesPerRecord: 0)
      return nil
    }
    let prefix = store.directory(of: log) + "/"
    let mine = damaged.filter { $0.hasPrefix(prefix) }
    for path in mine {
      logger.warning("an index file is damaged and will be built again", metadata: ["file": "\(path)"])
      remove(path)
      rest = nil
    }
    if let offsets = log.offsets {
      let position = offsets.highWatermark.rawValue
      if position != highWatermark {
        uncovered += highWatermark < 0 ? 0 : max(0, position - highWatermark)
        highWatermark = position
        changed = now
      }
      // Segments may have gone.
      if offsets.logStartOffset.rawValue != logStart {
        logStart = offsets.logStartOffset.rawValue
        rest = nil
      }
    }
    // What changes without either, a segment written anew or files that somebody touched, is met now and then.
    let isDue = lastLook.map { now - $0 >= Self.lookMilliseconds } ?? true
    if now < retryAt { return nil }
    if let rest, !isDue {
      let tail = tail(highWatermark - rest.covered, rest.bytesPerRecord, now)
      if !IndexPolicy.isWorthIt(tail, partitions: partitions) { return nil }
    }
    lastLook = now
    guard let snapshot = try? store.snapshot(of: log), let history = snapshot.partitions.first, history.failure == nil else {
      retryAt = now + Self.retryMilliseconds
      return nil
    }
    // Known only now where an orderly close did not tell.
    highWatermark = history.highWatermark.rawValue
    return advance(history, snapshot, wanted, feed, partitions: partitions, now: now, shouldStop: shouldStop)
  }

  private func advance(
    _ history: PartitionHistory, _ snapshot: HistorySnapshot, _ wanted: [IndexDefinition], _ feed: any IndexFeed,
    partitions: Int, now: Int64, shouldStop: @escaping @Sendable () -> Bool
  ) -> Built? {
    guard let directory = history.segments.last.map({ Self.directory(of: $0.path) }) else { return nil }
    self.directory = directory
    guard let present = sweep(history, snapshot, directory, shouldStop) else { return nil }
    var task: (segment: SegmentReference, from: Int64, to: Int64)?
    var missing: Int64 = 0
    var rest = Rest(covered: highWatermark, bytesPerRecord: 0)
    for (index, segment) in history.segments.enumerated().reversed() {
      let base = segment.baseOffset.rawValue
      let end = segment.endOffset.rawValue
      let current = IndexName.chosen(
        present.filter {
          $0.segmentBase == base && $0.generation == segment.generation && known[$0]?.definitions == definitions
        })
      var covered = base
      var chain: [IndexName] = []
      for name in current where name.from <= covered {
        covered = name.to
        chain.append(name)
      }
      if endsWithoutRecords[base] == end, covered < end { covered = end }
      let start = max(covered, history.logStartOffset.rawValue)
      missing += max(0, end - start)
      if task != nil || refused[base].map({ now < $0 }) ?? false { continue }
      if index + 1 < history.segments.count {
        if covered < end || chain.count > 1 || current.count > chain.count { task = (segment, base, end) }
        continue
      }
      let sizes = chain.map { known[$0]?.records ?? 0 }
      let records = end - covered
      rest = Rest(covered: covered, bytesPerRecord: segment.batchBytes / max(1, end - base))
      if IndexPolicy.isWorthIt(tail(records, rest.bytesPerRecord, now), partitions: partitions) {
        let first = IndexPolicy.firstTaken(by: records, of: sizes)
        task = (segment, first < chain.count ? chain[first].from : covered, end)
      }
    }
    uncovered = missing
    self.rest = task == nil ? rest : nil
    guard let task else { return verifyNext(directory, shouldStop) ? Built(records: 0, files: 0) : nil }
    let free = DirectoryNames.freeBytes(of: directory)
    guard free >= Self.freeBytesMin + 2 * task.segment.batchBytes else {
      retryAt = now + Self.retryMilliseconds
      return nil
    }
    // Others write meanwhile: half of what is above the reserve is theirs.
    return build(
      task, history, snapshot, wanted, feed, directory, present, bytesMax: (free - Self.freeBytesMin) / 2, now: now,
      shouldStop: shouldStop)
  }

  private func tail(_ records: Int64, _ bytesPerRecord: Int64, _ now: Int64) -> IndexPolicy.Tail {
    IndexPolicy.Tail(
      records: records, bytes: bytesPerRecord * records, quiet: now - changed, sinceLast: lastBuilt.map { now - $0 })
  }

  private func build(
    _ task: (segment: SegmentReference, from: Int64, to: Int64), _ history: PartitionHistory, _ snapshot: HistorySnapshot,
    _ wanted: [IndexDefinition], _ feed: any IndexFeed, _ directory: String, _ present: [IndexName],
    bytesMax: Int64, now: Int64, shouldStop: @escaping @Sendable () -> Bool
  ) -> Built? {
    let base = task.segment.baseOffset.rawValue
    let name = IndexName(segmentBase: base, generation: task.segment.generation, from: task.from, to: task.to)
    var random = SystemRandomNumberGenerator()
    let extent: IndexExtent?
    do {
      let writer = try IndexWriter(wanted, in: directory, named: name, bytesMax: bytesMax, shouldStop: shouldStop)
      try feed.feed(snapshot, task.from..<task.to, into: writer, shouldStop: shouldStop)
      if shouldStop() { return nil }
      if let (last, lastOffset) = Self.lastBatch(of: task, snapshot) { writer.end(at: last, lastOffset: lastOffset) }
      extent = try writer.finish(topicID: topicID, partition: history.partition, name, number: random.next())
    } catch {
      if case IndexFeedError.stopped = error { return nil }
      if log.isDeleted || shouldStop() { return nil }
      logger.warning(
        "an index could not be built; questions are answered without it",
        metadata: ["partition": "\(log.topicPartition)", "offset": "\(task.from)", "error": "\(error)"])
      refused[base] = now + Self.refusalMilliseconds
      return nil
    }
    lastBuilt = now
    if extent?.name.to != task.to { endsWithoutRecords[base] = task.to }
    guard let extent else { return Built(records: 0, files: 0) }
    files.drop("\(directory)/\(extent.name.fileName)")
    known[extent.name] = Known(
      inode: DirectoryNames.inode(of: "\(directory)/\(extent.name.fileName)") ?? 0, records: extent.records,
      definitions: definitions ?? [], isVerified: true)
    for old in present where old.segmentBase == base && old != extent.name && old.from >= task.from && old.to <= task.to {
      remove("\(directory)/\(old.fileName)")
      known[old] = nil
    }
    uncovered = max(0, uncovered - extent.records)
    return Built(records: extent.records, files: 1)
  }

  /// Removes what is of no use, and looks at what has not been looked at in this life.
  ///
  /// - Returns: the files that are whole and of this log; nil if it was stopped.
  private func sweep(
    _ history: PartitionHistory, _ snapshot: HistorySnapshot, _ directory: String, _ shouldStop: () -> Bool
  ) -> [IndexName]? {
    var present: [IndexName] = []
    for file in DirectoryNames.list(directory) {
      let path = "\(directory)/\(file)"
      if file.hasSuffix(IndexName.draftEnding) || file.hasSuffix(IndexName.draftEnding + "-journal") { unlink(path) }
      guard let name = IndexName(fileName: file) else { continue }
      let segment = history.segments.first { $0.baseOffset.rawValue == name.segmentBase && $0.generation == name.generation }
      if let segment, let inode = DirectoryNames.inode(of: path) {
        if shouldStop() { return nil }
        if known[name]?.inode != inode { known[name] = examine(path, name, inode, segment, snapshot) }
        if known[name] != nil {
          present.append(name)
          continue
        }
      }
      remove(path)
      known[name] = nil
    }
    return present.sorted()
  }

  /// Removes an index file, and lets go of it.
  private func remove(_ path: String) {
    unlink(path)
    files.drop(path)
  }

  /// The partition is no more.
  func forget() { if let directory { files.drop(in: directory) } }

  /// Reads a file whole that was there when the node started, when nothing is to be built: nobody waits for what it finds.
  ///
  /// - Returns: false if there is none.
  private func verifyNext(_ directory: String, _ shouldStop: () -> Bool) -> Bool {
    guard let (name, file) = known.first(where: { !$0.value.isVerified }) else { return false }
    // There may be another.
    rest = nil
    let path = "\(directory)/\(name.fileName)"
    var pace = VerificationPace()
    let isWhole = VerifiedPages.verify(path) { !pace.breathe(unless: shouldStop) }
    // What was not read to its end is not known to be damaged.
    if !isWhole, shouldStop() { return false }
    if isWhole || DirectoryNames.inode(of: path) != file.inode {
      known[name]?.isVerified = true
    } else {
      logger.warning("an index file is damaged and will be built again", metadata: ["file": "\(path)"])
      remove(path)
      known[name] = nil
    }
    return true
  }

  /// Looks at what a file says of itself.
  ///
  /// - Returns: nil if that is damaged, or it is of another log.
  private func examine(
    _ path: String, _ name: IndexName, _ inode: UInt64, _ segment: SegmentReference, _ snapshot: HistorySnapshot
  ) -> Known? {
    guard let file = try? IndexFile(path), file.extent.topicID == topicID,
      file.extent.partition == log.topicPartition.partition, file.extent.name == name,
      name.to <= segment.endOffset.rawValue, Self.has(file.extent.lastBatch, segment, snapshot)
    else { return nil }
    return Known(inode: inode, records: file.extent.records, definitions: Set(file.numbers.keys))
  }

  /// The last batch that lies whole in a stretch; nil if there is none, or it cannot be read.
  private static func lastBatch(
    of task: (segment: SegmentReference, from: Int64, to: Int64), _ snapshot: HistorySnapshot
  ) -> (IndexExtent.BatchIdentity, lastOffset: Int64)? {
    guard let reader = try? SegmentReader(task.segment, of: snapshot),
      (try? reader.seek(offsets: task.from...task.to - 1, timestamps: .min ... .max, isDescending: true)) != nil
    else { return nil }
    while let row = try? reader.next() {
      guard row.lastOffset < task.to else { continue }
      guard let bytes = try? reader.headerBytes(), let header = try? BatchHeader(bytes) else { return nil }
      let identity = IndexExtent.BatchIdentity(
        baseOffset: header.baseOffset, leaderEpoch: header.partitionLeaderEpoch, crc: header.crc)
      return (identity, row.lastOffset)
    }
    return nil
  }

  private static func has(
    _ identity: IndexExtent.BatchIdentity, _ segment: SegmentReference, _ snapshot: HistorySnapshot
  ) -> Bool {
    guard let reader = try? SegmentReader(segment, of: snapshot) else { return false }
    let offset = identity.baseOffset
    guard (try? reader.seek(offsets: offset...offset, timestamps: .min ... .max, isDescending: false)) != nil,
      let row = try? reader.next(), row.baseOffset == offset, let bytes = try? reader.headerBytes(),
      let header = try? BatchHeader(bytes)
    else { return false }
    return header.baseOffset == offset && header.partitionLeaderEpoch == identity.leaderEpoch && header.crc == identity.crc
  }

  /// Removes the files of a partition that has no indexes any more.
  private func removeAll(_ store: LogStore) {
    known = [:]
    let directory = store.directory(of: log)
    files.drop(in: directory)
    for file in DirectoryNames.list(directory)
    where IndexName(fileName: file) != nil || file.hasSuffix(IndexName.draftEnding) { unlink("\(directory)/\(file)") }
  }

  private static func directory(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }
}
