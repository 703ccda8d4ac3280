public import Coordination
public import Indexes
public import Model
public import Storage

/// The topics of a running node.
public struct StoreCatalog: HistoryCatalog {
  private let store: LogStore
  private let indexes: IndexFiles
  private let node: (any NodeFacts)?
  private let queries: QueryRegistry?

  /// - Parameters:
  ///   - node: what the node knows beside its records; nil leaves its system tables out.
  ///   - queries: the statements that run.
  ///   - indexes: where index files are kept open.
  public init(
    _ store: LogStore, node: (any NodeFacts)? = nil, queries: QueryRegistry? = nil,
    indexes: IndexFiles = IndexFiles(confirmsOnce: true)
  ) {
    self.store = store
    self.indexes = indexes
    self.node = node
    self.queries = queries
  }

  public var topics: [String] { store.topics }

  public func columns(of topic: String) -> [DeclaredColumn] {
    // What was stored has passed the rule; a text of another version is none of ours to understand.
    (try? DeclaredColumn.list(store.configuration(of: topic)?.columns ?? "")) ?? []
  }

  public func prepare(_ topic: String) throws(HistoryError) -> TopicSize? {
    do throws(StorageError) {
      return try store.load(topic).map {
        TopicSize(partitions: $0.partitions, offsets: $0.offsets, segments: $0.segments)
      }
    } catch { throw HistoryError(.unavailable, "\(error)") }
  }

  public func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    do throws(StorageError) { return SnapshotHistory(try store.snapshot(of: topics), indexes: indexes) } catch {
      throw HistoryError(.unavailable, "\(error)")
    }
  }

  public func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] {
    let storage = StorageTables(
      snapshot: { [store] (topics) throws(HistoryError) in
        do throws(StorageError) { return try store.snapshot(of: topics) } catch {
          throw HistoryError(.unavailable, "\(error)")
        }
      },
      cut: cut,
      producers: { [store] (topic) throws(HistoryError) in
        do throws(StorageError) { return try store.producers(of: topic) } catch {
          throw HistoryError(.unavailable, "\(error)")
        }
      })
    let indexes = IndexTables(storage: storage, topics: { topics }, columns: { columns(of: $0) }, files: indexes)
    guard let node else { return storage.tables + indexes.tables }
    let groups = GroupTables(
      groups: { () throws(HistoryError) in try node.groups() }, storage: storage, now: { node.now() })
    return storage.tables + indexes.tables + groups.tables + NodeTables.tables(node, queries)
  }

  public func watch(_ topic: String) -> (any HistoryWatch)? { store.watch(topic) }
}

extension TopicWatch: HistoryWatch {}

/// The topics of a data directory, up to what was written down of them when it was looked at.
public struct DirectoryCatalog: HistoryCatalog {
  private let store: OfflineStore
  private let hasNodeTables: Bool

  /// - Parameter hasNodeTables: whether there are the tables that only a running node can answer, to say so.
  public init(_ store: OfflineStore, hasNodeTables: Bool = true) {
    self.store = store
    self.hasNodeTables = hasNodeTables
  }

  public var topics: [String] { store.topics }

  public func columns(of topic: String) -> [DeclaredColumn] {
    (try? DeclaredColumn.list(store.columns(of: topic))) ?? []
  }

  public func prepare(_ topic: String) -> TopicSize? {
    store.size(of: topic).map { TopicSize(partitions: $0.partitions, offsets: $0.offsets) }
  }

  public func cut(of topics: [String]) throws(HistoryError) -> any HistorySource {
    do throws(StorageError) { return SnapshotHistory(try store.snapshot(of: topics)) } catch {
      throw HistoryError(.unavailable, "\(error)")
    }
  }

  public func makeSystemTables(cut: @escaping () throws(HistoryError) -> [String: any HistorySource]) -> [SystemTable] {
    let storage = StorageTables(
      snapshot: { [store] (topics) throws(HistoryError) in
        do throws(StorageError) { return try store.snapshot(of: topics) } catch {
          throw HistoryError(.unavailable, "\(error)")
        }
      }, cut: cut, producers: { [store] (topic) throws(HistoryError) in store.producers(of: topic) })
    let groups = GroupTables(
      groups: { [store] () throws(HistoryError) in
        do throws(StorageError) { return try store.groups().map { GroupFacts($0) } } catch {
          throw HistoryError(.unavailable, "\(error)")
        }
      }, storage: storage,
      now: { WallClock.milliseconds })
    let indexes = IndexTables(
      storage: storage, topics: { topics }, columns: { columns(of: $0) }, files: IndexFiles(confirmsOnce: false))
    return storage.tables + indexes.tables + groups.tables + (hasNodeTables ? NodeTables.tables(nil, nil) : [])
  }
}

/// One segment of a partition, as a topic of its own.
public struct SegmentCatalog: HistoryCatalog {
  private let segment: OfflineSegment

  public init(_ segment: OfflineSegment) { self.segment = segment }

  public var topics: [String] { [segment.topicPartition.topic] }

  public func prepare(_ topic: String) -> TopicSize? {
    topic == segment.topicPartition.topic ? TopicSize(partitions: 1, offsets: segment.offsetCount, segments: 1) : nil
  }

  public func cut(of topics: [String]) -> any HistorySource { SnapshotHistory(segment.snapshot()) }
}

extension GroupFacts {
  /// A group as it is on disk. Who is in it now, and what each reads, only the node knows.
  public init(_ stored: StoredGroup) {
    self.init(
      groupID: stored.groupID, state: nil, protocolType: stored.snapshot?.protocolType ?? "",
      protocolName: stored.snapshot?.protocolName ?? "", generationID: stored.snapshot?.generationID ?? 0,
      leaderID: stored.snapshot?.leaderID,
      members: (stored.snapshot?.members ?? []).map {
        Member(
          memberID: $0.identity.memberID, instanceID: $0.identity.instanceID, clientID: $0.clientID,
          clientHost: $0.clientHost, sessionTimeoutMilliseconds: $0.sessionTimeoutMilliseconds,
          rebalanceTimeoutMilliseconds: $0.rebalanceTimeoutMilliseconds, partitions: nil)
      },
      offsets: stored.offsets.map {
        CommittedOffset(
          partition: $0.key, offset: $0.value.offset, leaderEpoch: $0.value.leaderEpoch, metadata: $0.value.metadata,
          commitTimestamp: $0.value.commitTimestamp)
      })
  }
}
