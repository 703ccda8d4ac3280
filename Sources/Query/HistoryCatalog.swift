public import Model

/// Which topics there are to ask, and cuts of those that a statement names: the others cost it nothing.
public protocol HistoryCatalog: Sendable {
  /// The names of all topics, each once.
  var topics: [String] { get }
  /// Gets a topic ready to be cut and says about how large it is; nil if it is not there (any more). May block.
  func prepare(_ topic: String) throws(HistoryError) -> TopicSize?
  /// The columns and indexes that are declared for a topic; cheap.
  func columns(of topic: String) -> [DeclaredColumn]
  /// One cut of topics that were prepared; it may hold others as well.
  func cut(of topics: [String]) throws(HistoryError) -> any HistorySource
  /// The tables beside the topics, for one session; their names go before those of topics.
  ///
  /// - Parameter cut: the cut of each topic that statements of the session have named: of these topics the tables tell what it has.
  func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable]
  /// For a thread that waits until something is new in a topic; nil where nothing ever is, or nobody tells.
  func watch(_ topic: String) -> (any HistoryWatch)?
}

/// Tells when a topic has new records, or is gone. Any thread.
public protocol HistoryWatch: AnyObject, Sendable {
  /// Blocks until something is new since the watch was made or last waited for, `wake` was called, or the time is over.
  func wait(atMost time: Duration)
  func wake()
}

extension HistoryCatalog {
  public func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] { [] }
  public func columns(of topic: String) -> [DeclaredColumn] { [] }
  public func watch(_ topic: String) -> (any HistoryWatch)? { nil }
}

/// What a plan needs to know of a topic before there is a cut of it.
public struct TopicSize: Sendable, Hashable {
  public var partitions: Int
  /// Offsets between start and end of its partitions.
  public var offsets: Int64
  /// Files they lie in.
  public var segments: Int

  public init(partitions: Int, offsets: Int64, segments: Int = 0) {
    self.partitions = partitions
    self.offsets = offsets
    self.segments = segments
  }
}

/// A cut that was taken already, as a catalog.
struct CutCatalog: HistoryCatalog {
  let source: any HistorySource
  /// What is declared for its topics.
  var declared: [String: [DeclaredColumn]] = [:]

  func columns(of topic: String) -> [DeclaredColumn] { declared[topic] ?? [] }

  var topics: [String] { Array(Set(source.partitions.map(\.topic))) }

  func prepare(_ topic: String) -> TopicSize? {
    let partitions = source.partitions.filter { $0.topic == topic }
    if partitions.isEmpty { return nil }
    return TopicSize(
      partitions: partitions.count, offsets: partitions.reduce(0) { $0.addingSaturating($1.offsetCount) },
      segments: partitions.reduce(0) { $0 + $1.segmentCount })
  }

  func cut(of topics: [String]) -> any HistorySource { source }
}
