internal import SQLite

/// About how much a scan may read; for people who ask for its plan.
public struct ReadEstimate: Sendable, Hashable {
  /// Segments that have something to be read.
  public var segments: Int
  /// Batches in those that were looked into, and the offsets they reach over.
  public var sampledBatches: Int64
  public var sampledOffsets: Int64
  /// Offsets in the others.
  public var otherOffsets: Int64

  public init(segments: Int = 0, sampledBatches: Int64 = 0, sampledOffsets: Int64 = 0, otherOffsets: Int64 = 0) {
    self.segments = segments
    self.sampledBatches = sampledBatches
    self.sampledOffsets = sampledOffsets
    self.otherOffsets = otherOffsets
  }

  static func + (a: ReadEstimate, b: ReadEstimate) -> ReadEstimate {
    ReadEstimate(
      segments: a.segments + b.segments, sampledBatches: a.sampledBatches.addingSaturating(b.sampledBatches),
      sampledOffsets: a.sampledOffsets.addingSaturating(b.sampledOffsets),
      otherOffsets: a.otherOffsets.addingSaturating(b.otherOffsets))
  }

  /// Batches in all of them; nil where there is nothing to tell it from.
  var batches: Int64? {
    if otherOffsets == 0 { return sampledBatches }
    guard sampledOffsets > 0 else { return nil }
    let others = Double(otherOffsets) * Double(sampledBatches) / Double(sampledOffsets)
    return sampledBatches.addingSaturating(Int64(exactly: others.rounded()) ?? .max)
  }
}

/// What is known while EXPLAIN QUERY PLAN is prepared: it may look at what it will not read.
final class Explanation {
  private var cuts: [String: TopicTable.Cut] = [:]
  /// Segments that may still be looked into.
  private var samplesLeft = 64

  /// How much of a topic a scan within these bounds may read.
  ///
  /// - Returns: nil where the history does not tell.
  func words(for bounds: ScanBounds, _ topic: String, _ makeCut: () throws(HistoryError) -> TopicTable.Cut) -> String? {
    if cuts[topic] == nil, let cut = try? makeCut() { cuts[topic] = cut }
    guard let cut = cuts[topic] else { return nil }
    var total = ReadEstimate()
    var segments = 0
    for index in cut.partitions {
      let extent = cut.source.partitions[index]
      segments += extent.segmentCount
      var offsets = bounds.offsets
      offsets.raise(to: extent.logStartOffset)
      offsets.lower(to: extent.highWatermark - 1)
      if bounds.isEmpty || offsets.isEmpty || !bounds.includes(partition: extent.partition) { continue }
      let selection = BatchSelection(
        offsets: offsets.low...offsets.high, timestamps: bounds.timestamps.low...bounds.timestamps.high, isDescending: false)
      guard let estimate = cut.source.estimate(of: index, selection, samplesLeft: &samplesLeft) else { return nil }
      total = total + estimate
    }
    let batches = total.batches.map { ", about \($0) batches" } ?? ""
    return "an estimate: at most \(total.segments) of \(segments) segments\(batches)"
  }
}

extension ScanBounds {
  /// What the constants of a statement say before it runs; what is not known yet narrows nothing.
  init(constantsOf request: IndexRequest) {
    self.init()
    for constraint in request.constraints where constraint.isUsable {
      guard let column = TopicColumn(rawValue: constraint.column), !request.isMembership(constraint) else { continue }
      if column == .time, !request.comparesBinary(constraint) { continue }
      let term = ScanPlan.Term(column: column, comparison: constraint.comparison, isList: false)
      var narrowed = self
      _ = request.withConstant(of: constraint) { try? narrowed.apply(term, $0) }
      self = narrowed
    }
  }
}
