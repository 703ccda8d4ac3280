import Metadata
import Model
import Query

/// What a node lacks of a topic.
struct TopicAbsence: Sendable {
  var topic: TopicImage
  /// Numbers of partitions.
  var missing: [Int]
  /// What is said to whoever wants to read one of them.
  var error: HistoryError
}

/// A cut of topics of which this node does not have every partition. Those that it lacks are in it as well, with every offset there could be: a
/// statement that may need something of theirs opens them, and is refused.
struct PartialHistory: HistorySource {
  private enum Place {
    case local(Int)
    case missing(HistoryError)
  }

  let partitions: [PartitionExtent]
  private let places: [Place]
  private let local: any HistorySource

  /// More than any partition has; rows of a thousand partitions are told apart below it.
  private static let offsetMax = Int64.max >> 20

  init(_ local: any HistorySource, _ absences: [TopicAbsence]) {
    var all = local.partitions.enumerated().map { ($1, Place.local($0)) }
    for absence in absences {
      // A former topic's partitions of the same number are not read for this one's.
      all.removeAll { $0.0.topic == absence.topic.name && absence.missing.contains(Int($0.0.partition)) }
      all += absence.missing.map { number in
        let extent = PartitionExtent(
          topic: absence.topic.name, partition: Int32(number), logStartOffset: 0, highWatermark: Self.offsetMax,
          topicID: "\(absence.topic.id)")
        return (extent, .missing(absence.error))
      }
    }
    all.sort { one, other in
      one.0.topic == other.0.topic
        ? one.0.partition < other.0.partition : one.0.topic.utf8.lexicographicallyPrecedes(other.0.topic.utf8)
    }
    partitions = all.map(\.0)
    places = all.map(\.1)
    self.local = local
  }

  func openBatches(of index: Int) throws(HistoryError) -> any BatchSequence {
    switch places[index] {
    case .local(let index): return try local.openBatches(of: index)
    case .missing(let error): throw error
    }
  }

  func openIndexes(of index: Int) -> (any PartitionIndexes)? {
    guard case .local(let index) = places[index] else { return nil }
    return local.openIndexes(of: index)
  }

  func estimate(of index: Int, _ selection: BatchSelection, samplesLeft: inout Int) -> ReadEstimate? {
    guard case .local(let index) = places[index] else { return nil }
    return local.estimate(of: index, selection, samplesLeft: &samplesLeft)
  }
}
