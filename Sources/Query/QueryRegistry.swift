internal import Synchronization

/// The statements that run on a node, of all its doors: how many there may be, what each has cost so far, and how to stop one.
public final class QueryRegistry: Sendable {
  /// A statement that runs.
  public struct Entry: Sendable, Hashable {
    public var id: Int64
    /// Where it came in: `http`, `postgres`.
    public var door: String
    public var sql: String
    /// Milliseconds since 1970.
    public var startedMilliseconds: Int64
    public var seconds: Double
    public var rows: Int
    public var batchesRead: Int
    public var recordsDecoded: Int
    public var outputBytes: Int
    public var isCancelled: Bool
    /// It waits for new rows until it is stopped.
    public var isFollowing: Bool
  }

  private struct Running {
    var door: String
    var sql: String
    var startedMilliseconds: Int64
    var started: ContinuousClock.Instant
    var control: ScanControl
    var isFollowing: Bool
  }
  private struct State {
    var lastID: Int64 = 0
    var running: [Int64: Running] = [:]
    var following = 0

    func isFull(isFollowing: Bool, _ registry: QueryRegistry) -> Bool {
      isFollowing ? following >= registry.followingMax : running.count - following >= registry.concurrentMax
    }
  }
  private let state = Mutex(State())
  private let concurrentMax: Int
  private let followingMax: Int

  /// - Parameters:
  ///   - concurrentMax: statements at once.
  ///   - followingMax: besides, statements at once that wait for new rows.
  public init(concurrentMax: Int = .max, followingMax: Int = .max) {
    self.concurrentMax = concurrentMax
    self.followingMax = followingMax
  }

  /// Bytes of a statement's text that are kept to be shown.
  static let sqlBytesShown = 4096

  /// Notes a statement that begins; it ends with the ticket.
  ///
  /// - Throws: `.limit(.concurrency)`.
  public func begin(
    sql: String, door: String, control: ScanControl, isFollowing: Bool = false
  ) throws(QueryError) -> QueryTicket {
    let milliseconds = WallClock.milliseconds
    let shown = sql.utf8.count <= Self.sqlBytesShown ? sql : String(sql.unicodeScalars.prefix(Self.sqlBytesShown / 4)) + "…"
    let id: Int64? = state.withLock { state in
      if state.isFull(isFollowing: isFollowing, self) { return nil }
      state.lastID += 1
      if isFollowing { state.following += 1 }
      state.running[state.lastID] = Running(
        door: door, sql: shown, startedMilliseconds: milliseconds, started: .now, control: control, isFollowing: isFollowing)
      return state.lastID
    }
    guard let id else {
      let running = isFollowing ? "\(followingMax) statements are followed" : "\(concurrentMax) statements are running"
      throw QueryError(.limit(.concurrency), "\(running) already; try again")
    }
    return QueryTicket(id: id, registry: self)
  }

  /// Whether a statement that begins now would be refused.
  public func isFull(isFollowing: Bool) -> Bool {
    state.withLock { $0.isFull(isFollowing: isFollowing, self) }
  }

  fileprivate func end(_ id: Int64) {
    state.withLock { state in
      if state.running.removeValue(forKey: id)?.isFollowing == true { state.following -= 1 }
    }
  }

  /// By age, the oldest first.
  public var running: [Entry] {
    state.withLock { $0.running.sorted { $0.key < $1.key } }.map { id, query in
      let progress = query.control.progress
      return Entry(
        id: id, door: query.door, sql: query.sql, startedMilliseconds: query.startedMilliseconds,
        seconds: Double((ContinuousClock.now - query.started).nanoseconds) / 1e9, rows: progress.rows,
        batchesRead: progress.batches, recordsDecoded: progress.records, outputBytes: progress.outputBytes,
        isCancelled: query.control.isCancelled, isFollowing: progress.isFollowing)
    }
  }

  /// Asks a statement to stop; it does so within a batch.
  ///
  /// - Returns: false if none has this number (any more).
  public func cancel(_ id: Int64) -> Bool {
    guard let control = state.withLock({ $0.running[id]?.control }) else { return false }
    control.cancel()
    return true
  }
}

/// A statement's place in the registry, until it goes.
public final class QueryTicket: Sendable {
  public let id: Int64
  private let registry: QueryRegistry

  fileprivate init(id: Int64, registry: QueryRegistry) {
    self.id = id
    self.registry = registry
  }

  deinit { registry.end(id) }
}

/// What a statement has cost so far; written by the thread that runs it, read by any.
public final class QueryProgress: Sendable {
  private let rowCount = Atomic<Int>(0)
  private let batchCount = Atomic<Int>(0)
  private let recordCount = Atomic<Int>(0)
  private let byteCount = Atomic<Int>(0)
  private let isUnderWay = Atomic<Bool>(false)

  public var rows: Int { rowCount.load(ordering: .relaxed) }
  public var batches: Int { batchCount.load(ordering: .relaxed) }
  public var records: Int { recordCount.load(ordering: .relaxed) }
  public var outputBytes: Int { byteCount.load(ordering: .relaxed) }

  func note(_ statistics: ScanStatistics) {
    batchCount.store(statistics.batchesMatched, ordering: .relaxed)
    recordCount.store(statistics.recordsDecoded, ordering: .relaxed)
  }
  /// What comes in from now on is followed.
  var isFollowing: Bool { isUnderWay.load(ordering: .relaxed) }
  func noteFollowing() { isUnderWay.store(true, ordering: .relaxed) }
  func note(rows: Int, outputBytes: Int) {
    rowCount.store(rows, ordering: .relaxed)
    byteCount.store(outputBytes, ordering: .relaxed)
  }
}
