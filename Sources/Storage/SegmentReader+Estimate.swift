internal import Model
internal import SQLite

// About how much there is to read, from a few rows of a segment and its index by time.

extension SegmentReader {
  /// About how many batches of the segment overlap both ranges, and over how many offsets they reach.
  ///
  /// Exact where they are few; otherwise those at both ends stand for all. What stands for nothing is damage: then less is known, and
  /// whoever reads will hear of it.
  public func estimate(
    offsets: ClosedRange<Int64>, timestamps: ClosedRange<Int64>
  ) throws(StorageError) -> (batches: Int64, offsets: Int64) {
    var low = max(offsets.lowerBound, segment.baseOffset.rawValue)
    var high = min(offsets.upperBound, segment.endOffset.rawValue - 1)
    forgetPosition()
    do throws(SQLiteError) {
      if !isDamaged, timestamps.lowerBound > segment.minTimestamp {
        guard let first = try firstBatch(atOrAfter: timestamps.lowerBound) else { return (0, 0) }
        low = max(low, first)
      }
      if !isDamaged, timestamps.upperBound < segment.maxTimestamp,
        let end = try firstBatch(atOrAfter: timestamps.upperBound + 1)
      {
        high = min(high, end)
      }
      guard low <= high else { return (0, 0) }
      let first = try sample(low...high, isDescending: false)
      if first.batches < Self.sampledBatchesMax { return (first.batches, high - low + 1) }
      let last = try sample(low...high, isDescending: true)
      let ratio = Double(first.batches + last.batches) / Double(max(1, first.offsets + last.offsets))
      return (max(1, Int64((Double(high - low + 1) * ratio).rounded())), high - low + 1)
    } catch { throw failure(error, at: nil) }
  }

  private static let sampledBatchesMax: Int64 = 32

  private func firstBatch(atOrAfter timestamp: Int64) throws(SQLiteError) -> Int64? {
    let statement = try statement(SegmentSQL.firstAtOrAfter)
    defer { statement.reset() }
    statement.bind(timestamp, at: 1)
    return try statement.step() ? statement.integer(at: 0) : nil
  }

  private func sample(
    _ offsets: ClosedRange<Int64>, isDescending: Bool
  ) throws(SQLiteError) -> (batches: Int64, offsets: Int64) {
    let statement = try statement(
      """
      SELECT count(*), total(last_offset - base_offset + 1) FROM (SELECT base_offset, last_offset FROM record_batch
        WHERE base_offset >= coalesce((SELECT max(base_offset) FROM record_batch WHERE base_offset <= ?1), ?1)
          AND last_offset >= ?1 AND base_offset <= ?2
        ORDER BY base_offset \(isDescending ? "DESC" : "") LIMIT \(Self.sampledBatchesMax))
      """)
    defer { statement.reset() }
    statement.bind(offsets.lowerBound, at: 1)
    statement.bind(offsets.upperBound, at: 2)
    guard try statement.step() else { return (0, 0) }
    return (statement.integer(at: 0), Int64(clamping: Int(statement.double(at: 1).magnitude.rounded())))
  }
}
