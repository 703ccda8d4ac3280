public import Storage

/// The topics of a running node.
public struct StoreCatalog: HistoryCatalog {
  private let store: LogStore

  public init(_ store: LogStore) { self.store = store }

  public var topics: [String] { store.topics }

  public func prepare(_ topic: String) throws(HistoryError) -> TopicSize? {
    do throws(StorageError) {
      return try store.load(topic).map {
        TopicSize(partitions: $0.partitions, offsets: $0.offsets, segments: $0.segments)
      }
    } catch { throw HistoryError(.unavailable, "\(error)") }
  }

  public func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    do throws(StorageError) { return SnapshotHistory(try store.snapshot(of: topics)) } catch {
      throw HistoryError(.unavailable, "\(error)")
    }
  }
}

/// The topics of a data directory, up to what was written down of them when it was looked at.
public struct DirectoryCatalog: HistoryCatalog {
  private let store: OfflineStore

  public init(_ store: OfflineStore) { self.store = store }

  public var topics: [String] { store.topics }

  public func prepare(_ topic: String) -> TopicSize? {
    store.size(of: topic).map { TopicSize(partitions: $0.partitions, offsets: $0.offsets) }
  }

  public func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    do throws(StorageError) { return SnapshotHistory(try store.snapshot(of: topics)) } catch {
      throw HistoryError(.unavailable, "\(error)")
    }
  }
}
