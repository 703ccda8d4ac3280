internal import Model
internal import Records
internal import SQLite

extension Doctor {
  /// A row of `record_batch` without its blob.
  struct BatchRow {
    static let columns = """
      base_offset, last_offset, running_max_timestamp, min_timestamp, max_timestamp, leader_epoch, record_count, byte_count, data
      """
    let baseOffset: Int64
    let lastOffset: Int64
    let runningMaxTimestamp: Int64
    let minTimestamp: Int64
    let maxTimestamp: Int64
    let leaderEpoch: Int64
    let recordCount: Int64
    let byteCount: Int64

    init(_ row: Statement) {
      baseOffset = row.integer(at: 0)
      lastOffset = row.integer(at: 1)
      runningMaxTimestamp = row.integer(at: 2)
      minTimestamp = row.integer(at: 3)
      maxTimestamp = row.integer(at: 4)
      leaderEpoch = row.integer(at: 5)
      recordCount = row.integer(at: 6)
      byteCount = row.integer(at: 7)
    }
  }

  /// Examines the batches of one segment in the order of their offsets.
  final class BatchExaminer {
    private let path: String
    private let scratch = RecordScratch()
    /// The offset the next batch must begin at.
    private var nextOffset: Int64
    private var runningMaxTimestamp: Int64?
    private var leaderEpoch = Int64.min
    /// Base offset of a batch whose page could not be read, and no batch was read since.
    private var unreadable: Int64?
    /// Where to go on reading.
    private(set) var resumeOffset = Int64.min

    /// - Parameter startOffset: of the segment.
    init(path: String, startOffset: Int64) {
      self.path = path
      nextOffset = startOffset
    }

    /// Judges the row that `statement` stands on, and what lies between it and the one before.
    ///
    /// - Returns: the bytes of its blob.
    func take(_ statement: Statement, into examination: inout Examination) -> Int {
      let row = BatchRow(statement)
      let bytes = statement.borrowedBlob(at: 8)
      judgeGap(before: row.baseOffset, into: &examination)
      var complaints: [String] = []
      if row.baseOffset < nextOffset {
        complaints.append("it overlaps the batch in front of it, which ends at \(nextOffset - 1)")
      }
      judgeOrder(row, &complaints)
      let records = judge(row, bytes, &complaints)
      if !complaints.isEmpty {
        let last = max(row.baseOffset, row.lastOffset)
        examination.found(
          Finding(
            path, batch: row.baseOffset, offsets: row.baseOffset...last, complaints.joined(separator: "; "),
            remedy: Remedy.skip(to: last == .max ? last : last + 1)))
      }
      examination.count(batches: 1, records: records, bytes: bytes.count)
      if row.lastOffset < .max { nextOffset = max(nextOffset, row.lastOffset + 1) }
      if row.baseOffset < .max { resumeOffset = row.baseOffset + 1 }
      return bytes.count
    }

    func noteUnreadable(_ base: Int64) { if unreadable == nil { unreadable = base } }

    /// - Parameter end: the offset behind the last batch there must be; nil if it is not known.
    func finish(at end: Int64?, into examination: inout Examination) {
      if let end { judgeGap(before: end, into: &examination) }
    }

    private func judgeGap(before offset: Int64, into examination: inout Examination) {
      defer { unreadable = nil }
      guard offset > nextOffset else { return }
      let problem =
        unreadable == nil ? "no batch holds these offsets" : "the database's pages that hold these offsets cannot be read"
      examination.found(
        Finding(path, batch: unreadable, offsets: nextOffset...offset - 1, problem, remedy: Remedy.skip(to: offset)))
      nextOffset = offset
    }

    /// What a row must be after the one before.
    private func judgeOrder(_ row: BatchRow, _ complaints: inout [String]) {
      let expected = max(runningMaxTimestamp ?? .min, row.maxTimestamp)
      if row.runningMaxTimestamp != expected {
        complaints.append("its running maximum timestamp is \(row.runningMaxTimestamp) and should be \(expected)")
      }
      runningMaxTimestamp = max(expected, row.runningMaxTimestamp)
      if row.leaderEpoch < leaderEpoch {
        complaints.append("its leader epoch \(row.leaderEpoch) is below \(leaderEpoch) of the batch in front of it")
      }
      leaderEpoch = max(leaderEpoch, row.leaderEpoch)
    }

    /// What a row must be by its blob.
    ///
    /// - Returns: how many records could be decoded.
    private func judge(_ row: BatchRow, _ bytes: UnsafeRawBufferPointer, _ complaints: inout [String]) -> Int {
      do throws(RecordsError) {
        let header = try BatchHeader(ofWhole: bytes)
        try header.verifyChecksum(of: bytes)
        compare("byte count", row.byteCount, Int64(bytes.count), &complaints)
        compare("length", Int64(header.totalBytes), Int64(bytes.count), &complaints)
        compare("base offset", row.baseOffset, header.baseOffset, &complaints)
        compare("last offset", row.lastOffset, header.lastOffset, &complaints)
        compare("leader epoch", row.leaderEpoch, Int64(header.partitionLeaderEpoch), &complaints)
        compare("record count", row.recordCount, Int64(header.recordCount), &complaints)
        return try decode(row, header, bytes, &complaints)
      } catch {
        complaints.append("\(error)")
        return 0
      }
    }

    private func decode(
      _ row: BatchRow, _ header: BatchHeader, _ bytes: UnsafeRawBufferPointer, _ complaints: inout [String]
    ) throws(RecordsError) -> Int {
      var count = 0
      var minTimestamp = Int64.max
      var maxTimestamp = Int64.min
      var last = header.baseOffset &- 1
      var isOrdered = true
      try forEachRecord(in: bytes, scratch: scratch) { record in
        count += 1
        minTimestamp = min(minTimestamp, record.timestamp)
        maxTimestamp = max(maxTimestamp, record.timestamp)
        isOrdered = isOrdered && record.offset.rawValue > last
        last = record.offset.rawValue
        return true
      }
      if !isOrdered || last > header.lastOffset {
        complaints.append("its records' offsets do not rise from base to last offset")
      }
      // Compaction leaves batches without records.
      guard count > 0 else { return 0 }
      compare("least timestamp", row.minTimestamp, minTimestamp, &complaints)
      compare("greatest timestamp", row.maxTimestamp, maxTimestamp, &complaints)
      return count
    }

    private func compare(_ what: String, _ column: Int64, _ actual: Int64, _ complaints: inout [String]) {
      if column != actual { complaints.append("its \(what) is recorded as \(column), but the batch says \(actual)") }
    }
  }
}
