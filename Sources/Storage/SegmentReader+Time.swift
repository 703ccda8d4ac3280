internal import Model
internal import SQLite

// By time: what is newest or oldest is found without a look at the rest.

extension SegmentReader {
  /// Begins anew with `nextByTime`, by the index alone where that can be believed.
  public func seekByTime(
    offsets: ClosedRange<Int64>, timestamps: ClosedRange<Int64>, isDescending: Bool
  ) throws(StorageError) {
    if isDamaged { return try seek(offsets: offsets, timestamps: timestamps, isDescending: isDescending) }
    forgetPosition()
    self.isDescending = isDescending
    // running_max_timestamp never decreases, so descending it bounds what follows; ascending, only the segment's least time does.
    let order = isDescending ? "DESC" : "ASC"
    // Batches without records have no times: their least one is above their greatest.
    let sql = """
      SELECT base_offset, running_max_timestamp, min_timestamp, max_timestamp FROM record_batch INDEXED BY record_batch_time
      WHERE running_max_timestamp >= ?3 AND max_timestamp >= ?3 AND min_timestamp <= ?4
        AND min_timestamp <= max_timestamp
        AND base_offset >= coalesce((SELECT max(base_offset) FROM record_batch WHERE base_offset <= ?1), ?1)
        AND base_offset <= ?2
      ORDER BY running_max_timestamp \(order), base_offset \(order)
      """
    do throws(SQLiteError) {
      let statement = try statement(sql)
      statement.bind(max(offsets.lowerBound, segment.baseOffset.rawValue), at: 1)
      statement.bind(min(offsets.upperBound, segment.endOffset.rawValue - 1), at: 2)
      statement.bind(timestamps.lowerBound, at: 3)
      statement.bind(timestamps.upperBound, at: 4)
      rows = statement
    } catch { throw failure(error, at: nil) }
  }

  /// Goes on to the next batch by time; nil at the end.
  public func nextByTime() throws(StorageError) -> Times? {
    if isDamaged {
      guard let row = try next() else { return nil }
      let bound = isDescending ? Int64.max : Int64.min
      return Times(baseOffset: row.baseOffset, minTimestamp: .min, maxTimestamp: .max, bound: bound)
    }
    guard let rows else { return nil }
    data.reset()
    current = nil
    do throws(SQLiteError) {
      guard try rows.step() else {
        self.rows = nil
        return nil
      }
    } catch { throw failure(error, at: nil) }
    let times = Times(
      baseOffset: rows.integer(at: 0), minTimestamp: rows.integer(at: 2), maxTimestamp: rows.integer(at: 3),
      bound: isDescending ? rows.integer(at: 1) : segment.minTimestamp)
    current = times.baseOffset
    return times
  }
}
