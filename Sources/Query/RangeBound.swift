internal import SQLite

/// One end of a range of records, as `--from` and `--to` take it.
public enum RangeBound: Sendable, Hashable {
  /// The log start offset.
  case beginning
  /// The high watermark.
  case end
  /// In every partition.
  case offset(Int64)
  /// In one partition; the others are not in the range at all.
  case partitionOffset(partition: Int32, offset: Int64)
  /// Milliseconds.
  case timestamp(Int64)

  /// Reads `beginning`, `end`, an offset (`1000`), an offset of one partition (`3:1000`), a time (ISO 8601; UTC where it names no
  /// zone) or a time before now (`-10m`; units ms, s, m, h, d, w).
  ///
  /// - Parameter now: milliseconds.
  /// - Throws: what is wrong with it, in a sentence.
  public init(_ text: String, now: Int64) throws(RangeError) {
    switch text {
    case "beginning": self = .beginning
    case "end": self = .end
    default:
      if let offset = Self.offset(text[...]) {
        self = .offset(offset)
      } else if let bound = Self.partitionOffset(text) {
        self = bound
      } else if text.first == "-" {
        guard let age = Self.milliseconds(text.dropFirst()) else {
          throw RangeError("'\(text)' is no time before now: write for example -10m (units ms, s, m, h, d, w)")
        }
        self = .timestamp(now.addingSaturating(-age))
      } else if let time = TimeText.parse(text) {
        self = .timestamp(time)
      } else {
        throw RangeError(
          "'\(text)' is no bound of a range: write beginning, end, an offset (1000), PARTITION:OFFSET (3:1000), a time "
            + "(2024-05-01T09:00:00) or a time before now (-10m)")
      }
    }
  }

  private static func offset(_ text: Substring) -> Int64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int64(text)
  }

  private static func partitionOffset(_ text: String) -> RangeBound? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, let partition = offset(parts[0]).flatMap({ Int32(exactly: $0) }), let offset = offset(parts[1])
    else {
      return nil
    }
    return .partitionOffset(partition: partition, offset: offset)
  }

  private static func milliseconds(_ text: Substring) -> Int64? {
    let units: [(String, Int64)] = [
      ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000),
    ]
    for (unit, factor) in units where text.hasSuffix(unit) {
      guard let count = offset(text.dropLast(unit.count)) else { continue }
      let (product, overflow) = count.multipliedReportingOverflow(by: factor)
      return overflow ? nil : product
    }
    return nil
  }
}

/// What is wrong with a range, in a sentence.
public struct RangeError: Error, Sendable, Hashable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

/// Records from `from` on, up to and without `to`.
///
/// Bounds by time select records by their own timestamps, wherever they lie: a record that came late is in the range of its time.
public struct HistoryRange: Sendable, Hashable {
  public let from: RangeBound
  public let to: RangeBound

  public static let all = HistoryRange(checkedFrom: .beginning, to: .end)

  private init(checkedFrom from: RangeBound, to: RangeBound) {
    self.from = from
    self.to = to
  }

  /// - Throws: when the two name different partitions.
  public init(from: RangeBound, to: RangeBound) throws(RangeError) {
    if case .partitionOffset(let a, _) = from, case .partitionOffset(let b, _) = to, a != b {
      throw RangeError("a range lies in one partition: it cannot go from partition \(a) to partition \(b)")
    }
    self.init(checkedFrom: from, to: to)
  }

  /// The batches of a partition that may hold records of the range, whose offsets and timestamps are to lie in the selection; nil if
  /// none can.
  public func selection(in extent: PartitionExtent) -> BatchSelection? {
    var offsets = Interval(low: extent.logStartOffset, high: extent.highWatermark &- 1)
    if extent.highWatermark <= extent.logStartOffset { return nil }
    var timestamps = Interval.all
    switch from {
    case .beginning: break
    case .end: return nil
    case .offset(let offset): offsets.narrow(.greaterOrEqual, to: offset)
    case .partitionOffset(let partition, let offset):
      guard partition == extent.partition else { return nil }
      offsets.narrow(.greaterOrEqual, to: offset)
    case .timestamp(let time): timestamps.narrow(.greaterOrEqual, to: time)
    }
    switch to {
    case .beginning: return nil
    case .end: break
    case .offset(let offset): offsets.narrow(.less, to: offset)
    case .partitionOffset(let partition, let offset):
      guard partition == extent.partition else { return nil }
      offsets.narrow(.less, to: offset)
    case .timestamp(let time): timestamps.narrow(.less, to: time)
    }
    if offsets.isEmpty || timestamps.isEmpty { return nil }
    return BatchSelection(
      offsets: offsets.low...offsets.high, timestamps: timestamps.low...timestamps.high, isDescending: false)
  }
}
