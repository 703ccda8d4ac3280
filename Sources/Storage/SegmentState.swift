internal import Model

/// Where a leader epoch began.
struct EpochStart: Hashable, Sendable {
  var epoch: Int32
  var startOffset: Int64
}

extension EpochStart {
  /// The offset from which on two logs may have different records, by who wrote them (KIP-101): the same offset in the same epoch is the same record.
  /// `Int64.max` where they have the same epochs.
  static func parting(_ one: [EpochStart], _ other: [EpochStart]) -> Int64 {
    let common = zip(one, other).prefix { $0 == $1 }.count
    return min(
      common < one.count ? one[common].startOffset : .max, common < other.count ? other[common].startOffset : .max)
  }
}

/// One older segment, as the active one records it.
struct SegmentRecord: Hashable, Sendable {
  var baseOffset: Int64
  /// The offset behind its last record.
  var endOffset: Int64
  var generation: Int64
  /// Bytes of its batches.
  var batchBytes: Int64
  var minTimestamp: Int64
  var maxTimestamp: Int64
  /// Set when the segment is sealed.
  var seal: Seal?

  struct Seal: Hashable, Sendable {
    var fileBytes: Int64
    var hash: UInt64
  }
}

/// A partition's whole state: every segment is born with it, and the active one keeps it.
struct PartitionState: Sendable {
  var topicID: TopicID
  var topicPartition: TopicPartition
  /// Of the segment that holds this state.
  var baseOffset: Int64
  var generation: Int64
  var logStartOffset: Int64
  /// Of the last commit; with `baseOffset` and `commitSequence` the position of a replica.
  var leaderEpoch: Int32
  /// Counts commits of the partition, also across segments.
  var commitSequence: Int64
  var producers: [Int64: ProducerState] = [:]
  /// In order of epoch.
  var epochs: [EpochStart] = []
  /// The older segments, in order.
  var segments: [SegmentRecord] = []

  /// Of a shard of the coordinator: its offsets count its commits.
  var isCoordinator: Bool { topicPartition.topic == CoordinatorTopic.name }
}

/// Sums over the batches of the active segment.
struct ActiveExtent: Sendable {
  /// The offset the next record gets.
  var endOffset: Int64
  var batchBytes: Int64 = 0
  /// `Int64.max` while the segment is empty.
  var minTimestamp: Int64 = .max
  /// The running maximum of its timestamps; `Int64.min` while the segment is empty.
  var maxTimestamp: Int64 = .min
  /// Milliseconds by the node's clock; nil while the segment is empty.
  var firstAppendMilliseconds: Int64?
}

/// The name of a segment's file: twenty digits of its base offset, and its generation where that is not the first.
struct SegmentName: Hashable, Comparable, Sendable {
  var baseOffset: Int64
  var generation: Int64

  var fileName: String {
    let digits = String(baseOffset)
    let padded = String(repeating: "0", count: max(0, 20 - digits.count)) + digits
    return generation == 0 ? "\(padded).db" : "\(padded).\(generation).db"
  }

  init(baseOffset: Int64, generation: Int64) {
    self.baseOffset = baseOffset
    self.generation = generation
  }

  /// - Returns: nil for any other file.
  init?(fileName: String) {
    let parts = fileName.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, parts.last == "db", parts[0].count == 20, let base = Int64(parts[0]),
      let generation = parts.count == 3 ? Int64(parts[1]) : 0, base >= 0, generation >= 0
    else { return nil }
    self.init(baseOffset: base, generation: generation)
  }

  static func < (a: SegmentName, b: SegmentName) -> Bool {
    (a.baseOffset, a.generation) < (b.baseOffset, b.generation)
  }
}
