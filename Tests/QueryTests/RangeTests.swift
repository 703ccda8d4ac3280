import Query
import TestSupport
import Testing

@Suite("Ranges")
struct RangeTests {
  private let now: Int64 = 1_714_554_000_000  // 2024-05-01T09:00:00Z

  @Test("bounds as they are written")
  func bounds() throws {
    let expected: [(String, RangeBound)] = [
      ("beginning", .beginning), ("end", .end), ("0", .offset(0)), ("1000", .offset(1000)),
      ("3:1000", .partitionOffset(partition: 3, offset: 1000)),
      ("-10m", .timestamp(now - 600_000)), ("-90s", .timestamp(now - 90_000)), ("-5ms", .timestamp(now - 5)),
      ("-2h", .timestamp(now - 7_200_000)),
      ("-1d", .timestamp(now - 86_400_000)), ("-1w", .timestamp(now - 604_800_000)),
      ("2024-05-01", .timestamp(now - 9 * 3_600_000)),
      ("2024-05-01T09:00", .timestamp(now)), ("2024-05-01 09:00:00", .timestamp(now)),
      ("2024-05-01T09:00:00Z", .timestamp(now)),
      ("2024-05-01T11:00:00+02:00", .timestamp(now)), ("2024-05-01T04:30:00-0430", .timestamp(now)),
      ("2024-05-01T09:00:00.5", .timestamp(now + 500)), ("2024-05-01T09:00:00.123456789Z", .timestamp(now + 124)),
      ("2024-05-01T09:00:00.123000Z", .timestamp(now + 123)), ("2024-02-29", .timestamp(1_709_164_800_000)),
    ]
    for (text, bound) in expected { #expect(try RangeBound(text, now: now) == bound, "\(text)") }
  }

  @Test(
    "what is no bound is refused in a sentence",
    arguments: [
      "", "-5", "-", "-m", "10m", "1:2:3", "a:5", "-1:5", "99999999999:5", "99999999999999999999", "2024-13-01", "2023-02-29",
      "2024-05-01T24:00",
      "2024-05-01T09", "2024-05-01T09:00:00.", "2024-05-01T09:00:60", "2024-5-1", "yesterday", "2024-05-01T09:00Zx",
      "-99999999999999999w", "٣",
    ])
  func refused(text: String) { #expect(throws: RangeError.self) { try RangeBound(text, now: now) } }

  @Test("every time that has a text is read back from it")
  func roundTrip() {
    var random = SeededRandom(seed: 7)
    for _ in 0..<2000 {
      let time = Int64.random(in: TimeText.writable, using: &random)
      #expect(TimeText.parse(TimeText.text(time)!) == time)
    }
  }

  @Test("a range is half open, inside what is visible, and of one partition where it names one")
  func selections() throws {
    let extent = PartitionExtent(topic: "t", partition: 3, logStartOffset: 10, highWatermark: 20)
    func offsets(_ from: RangeBound, _ to: RangeBound) throws -> ClosedRange<Int64>? {
      try HistoryRange(from: from, to: to).selection(in: extent)?.offsets
    }
    #expect(try offsets(.beginning, .end) == 10...19)
    #expect(try offsets(.offset(12), .offset(15)) == 12...14)
    #expect(try offsets(.offset(15), .offset(15)) == nil)
    #expect(try offsets(.offset(0), .offset(11)) == 10...10)
    #expect(try offsets(.end, .end) == nil)
    #expect(try offsets(.partitionOffset(partition: 3, offset: 18), .end) == 18...19)
    #expect(try offsets(.partitionOffset(partition: 2, offset: 18), .end) == nil)
    #expect(try offsets(.beginning, .partitionOffset(partition: 2, offset: 18)) == nil)
    let times = try HistoryRange(from: .timestamp(5), to: .timestamp(7)).selection(in: extent)
    #expect(times?.timestamps == 5...6 && times?.offsets == 10...19)
    #expect(throws: RangeError.self) {
      try HistoryRange(from: .partitionOffset(partition: 1, offset: 0), to: .partitionOffset(partition: 2, offset: 0))
    }
  }
}
