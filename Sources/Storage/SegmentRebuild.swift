internal import Model
internal import SQLite

/// Copies the durable part of a segment whose WAL is not trusted into a new file of the next generation.
enum SegmentRebuild {
  /// - Parameters:
  ///   - endOffset: what was durable ends here; all of it must be readable.
  ///   - state: the partition's state as it was published; nil to take the file's own, less what lies behind `endOffset`.
  /// - Returns: the new segment's name; it is durable.
  /// - Throws: `.damaged` where a batch cannot be verified; nothing was changed.
  static func rebuild(
    _ name: SegmentName, in directory: String, upTo endOffset: Int64, state: PartitionState?, options: StoreOptions, now: Int64
  ) throws(StorageError) -> SegmentName {
    let path = "\(directory)/\(name.fileName)"
    let source = try storage { () throws(SQLiteError) in
      let source = try Connection(path: path, mode: .readOnly)
      source.setBusyTimeout(milliseconds: 5_000)
      return source
    }
    var found = state
    if found == nil { found = try durablePart(of: source, upTo: endOffset)?.state }
    guard var next = found else {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
    }
    if next.isCoordinator { return try CoordinatorRebuild.rebuild(name, in: directory, upTo: endOffset) }
    next.generation = name.generation + 1
    try SegmentBuilder.build(next, in: directory, pageSize: options.pageSize, now: now) { target throws(StorageError) in
      try copy(from: source, to: target, path: path, from: name.baseOffset, upTo: endOffset, now: now)
    }
    return SegmentName(baseOffset: name.baseOffset, generation: next.generation)
  }

  /// The state that the segment behind `source` holds, less what lies behind `endOffset`.
  static func durablePart(
    of source: Connection, upTo endOffset: Int64
  ) throws(StorageError) -> (state: PartitionState, extent: ActiveExtent)? {
    guard var (state, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(source) }) else { return nil }
    extent.endOffset = endOffset
    if state.isCoordinator { state.commitSequence = min(state.commitSequence, endOffset) }
    state.epochs.removeAll { $0.startOffset >= endOffset }
    for id in Array(state.producers.keys) {
      state.producers[id]?.batches.removeAll { $0.baseOffset >= endOffset }
      if state.producers[id]?.batches.isEmpty ?? true { state.producers[id] = nil }
    }
    return (state, extent)
  }

  private static func copy(
    from source: Connection, to target: Connection, path: String, from base: Int64, upTo endOffset: Int64, now: Int64
  ) throws(StorageError) {
    var position = base
    var extent = ActiveExtent(endOffset: base)
    var complaint: String?
    try storage { () throws(SQLiteError) in
      let rows = try source.prepare(
        """
        SELECT base_offset, last_offset, min_timestamp, max_timestamp, leader_epoch, record_count, data FROM record_batch
        ORDER BY base_offset
        """)
      let insert = try target.prepare(SegmentSQL.insertBatch)
      while position < endOffset, try rows.step() {
        let (baseOffset, lastOffset) = (rows.integer(at: 0), rows.integer(at: 1))
        let bytes = rows.borrowedBlob(at: 6)
        complaint =
          baseOffset == position
          ? BatchCheck.complaint(about: bytes, baseOffset: baseOffset, lastOffset: lastOffset)
          : "offset \(position) is followed by a batch at \(baseOffset)"
        if complaint != nil { return }
        extent.batchBytes += Int64(bytes.count)
        extent.minTimestamp = min(extent.minTimestamp, rows.integer(at: 2))
        extent.maxTimestamp = max(extent.maxTimestamp, rows.integer(at: 3))
        for (index, value) in [
          baseOffset, lastOffset, extent.maxTimestamp, rows.integer(at: 2), rows.integer(at: 3), rows.integer(at: 4),
          rows.integer(at: 5), Int64(bytes.count),
        ].enumerated() {
          insert.bind(value, at: index + 1)
        }
        insert.bindStatic(bytes, at: 9)
        try insert.run()
        insert.clearBindings()
        position = lastOffset + 1
      }
      let first = position > base ? "\(now)" : "NULL"
      try target.execute(
        """
        UPDATE partition_state SET batch_bytes = \(extent.batchBytes), min_timestamp = \(extent.minTimestamp),
          first_append_ms = \(first)
        """)
    }
    if complaint == nil, position != endOffset { complaint = "the log ends at offset \(position), not at \(endOffset)" }
    if let complaint {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: Offset(position), reason: complaint))
    }
  }
}
