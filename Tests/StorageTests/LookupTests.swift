import Model
import Records
import SQLite
import Storage
import TestSupport
import Testing

@Suite("Look-ups") struct LookupTests {
  @Test("by time are exact to the record, also when timestamps are out of order and across segments")
  func byTime() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 200 }
      let times: [[Int64]] = [[10, 30], [20], [25, 5, 40], [40], [35, 50], [1], [60, 55]]
      var all: [TestRecord] = []
      for batch in times {
        try store.append(batch.map { "\($0)" }, timestamps: batch)
        for time in batch { all.append(TestRecord(offset: Int64(all.count), timestamp: time, value: "\(time)")) }
      }
      #expect(try store.segmentNames().count > 2)
      func check(from start: Int64) throws {
        for time in 0...61 as ClosedRange<Int64> {
          let expected = all.first { $0.offset >= start && $0.timestamp >= time }
          let found = try store.log().offset(forTimestamp: time)
          #expect(found?.offset.rawValue == expected?.offset && found?.timestamp == expected?.timestamp, "at \(time)")
        }
        let greatest = all.filter { $0.offset >= start }.max { ($0.timestamp, -$0.offset) < ($1.timestamp, -$1.offset) }
        #expect(try store.log().offsetOfMaxTimestamp()?.offset.rawValue == greatest?.offset)
      }
      try check(from: 0)
      for start in [1, 4, 6, 8] as [Int64] {
        let done = Handoff<Result<Offset, StorageError>>()
        store.store.deleteRecords(in: TestStore.name(), before: Offset(start)) { done.give($0) }
        #expect(try done.take().get() == Offset(start))
        try check(from: start)
      }
    }
  }

  @Test("use the indexes, in the schema that is shipped")
  func plans() throws {
    let connection = try Connection(path: ":memory:", mode: .create)
    try Migrator.apply(.segment, to: connection)
    func plan(_ sql: String) throws -> String {
      let rows = try connection.prepare("EXPLAIN QUERY PLAN " + sql)
      var lines: [String] = []
      while try rows.step() { lines.append(rows.text(at: 3) ?? "") }
      return lines.joined(separator: "; ")
    }
    let byTime = try plan(
      """
      SELECT base_offset FROM record_batch WHERE running_max_timestamp >= ?
      ORDER BY running_max_timestamp, base_offset LIMIT 1
      """)
    #expect(byTime.contains("USING COVERING INDEX record_batch_time") && !byTime.contains("TEMP B-TREE"))
    let byOffset = try plan("SELECT data FROM record_batch WHERE base_offset <= ? ORDER BY base_offset DESC LIMIT 1")
    #expect(byOffset.contains("USING INTEGER PRIMARY KEY"))
  }

  @Test("of a snapshot see one cut: segments, ranges, both directions")
  func snapshot() throws {
    try withStore { store in
      try store.create { $0.segmentBytes = 300 }
      for index in 0..<30 { try store.append(["\(index)"], timestamps: [Int64(index) * 10]) }
      let snapshot = try store.store.snapshot(of: ["plays"])
      for index in 30..<40 { try store.append(["\(index)"], timestamps: [Int64(index) * 10]) }
      let history = try #require(snapshot.partitions.first)
      #expect(history.highWatermark == Offset(30) && history.segments.count > 3)
      func offsets(_ range: ClosedRange<Int64>, _ times: ClosedRange<Int64>, descending: Bool) throws -> [Int64] {
        var found: [Int64] = []
        for segment in descending ? history.segments.reversed() : history.segments {
          let reader = try SegmentReader(segment, of: snapshot)
          try reader.seek(offsets: range, timestamps: times, isDescending: descending)
          while let row = try reader.next() {
            #expect(try reader.bytes().count == row.byteCount)
            found.append(row.baseOffset)
          }
        }
        return found
      }
      let everything = Int64.min...Int64.max
      #expect(try offsets(0...100, everything, descending: false) == Array(0..<30))
      #expect(try offsets(7...12, everything, descending: true) == [12, 11, 10, 9, 8, 7])
      #expect(try offsets(0...100, 95...120, descending: false) == [10, 11, 12])
      #expect(try offsets(11...100, 95...120, descending: true) == [12, 11])
    }
  }
}
