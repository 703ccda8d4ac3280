internal import Model
internal import Pages
internal import SQLite

/// The active segment of a follower: the one connection that appends to its -wal, and what its pages add up to.
///
/// - Precondition: used by one thread at a time.
final class FollowerSegment {
  let file: SegmentFile
  private let databases: OpenDatabases
  /// Nil while the partition rests: what is known of it stays.
  private var opened: FrameAppender?
  /// Of its connection, for looking at the rows after each sync.
  private var statements: StateStatements?
  /// Monotonic nanoseconds.
  private var lastUse: Int64
  /// As of the last set that was applied.
  private(set) var position: CommitPosition
  /// Nil until somebody asks: finding them out takes reading every page.
  private var knownSums: PageSums?
  /// What the rows say, as of the last look.
  private(set) var state: PartitionState
  private(set) var extent: ActiveExtent
  /// Sets were applied since the rows were looked at, and since the last sync.
  private(set) var isAhead = false
  private(set) var isUnsynced = false

  /// Nanoseconds after which a partition that got nothing may be closed for others.
  private static let idleAfter: Int64 = 5_000_000_000

  /// How long another process may hold the write lock.
  private static let lockTimeout: Duration = .seconds(10)

  /// Opens the database, and has SQLite recover its -wal.
  ///
  /// - Parameter sums: of a file that was just written; nil after a start, when the -wal is what an earlier life left: it is written anew and
  ///   synced before this returns.
  /// - Throws: nothing stays open. `.damaged` where it holds no state of this partition.
  init(_ file: SegmentFile, of log: PartitionLog, sums: PageSums?) throws(StorageError) {
    self.file = file
    databases = log.store.databases
    lastUse = monotonicNanoseconds()
    let appender = try storage { () throws(SQLiteError) in try FrameAppender(path: file.path) }
    do throws(StorageError) {
      if sums == nil {
        try Self.renew(appender)
        // A reader of ours may have kept in memory what the file does not have any more.
        guard try Self.isLogWhole(appender, file) else {
          throw .damaged(
            StorageDamage(file: file.path + "-wal", baseOffset: nil, offset: nil, reason: "its frames are not what was written")
          )
        }
      }
      // Its -wal is a new name, whoever made it.
      try FileSystem.syncDirectory(file.directory)
      (state, extent) = try Self.load(appender, file)
      try Self.check(state, file, of: log)
    } catch {
      appender.close()
      throw error
    }
    position = Self.position(of: state)
    knownSums = sums ?? KeptSums.take(of: file, at: position, pageSize: appender.pageSize)
    opened = appender
    databases.willOpenWriter()
  }

  deinit { close() }

  /// Lets go of the database; it is opened again when it is needed.
  func close() {
    guard let opened else { return }
    statements?.finalize()
    statements = nil
    opened.close()
    self.opened = nil
    databases.noteClosed()
  }

  /// Keeps the page hashes for the next start, where they are known.
  ///
  /// - Precondition: all is synced.
  func keepSums() throws(StorageError) {
    if let knownSums { try KeptSums.write(knownSums, at: position, of: file) }
  }

  var isOpen: Bool { opened != nil }

  /// Nothing has come for some time.
  var isIdle: Bool { monotonicNanoseconds() - lastUse > Self.idleAfter }

  private func appender() throws(SQLiteError) -> FrameAppender {
    lastUse = monotonicNanoseconds()
    if let opened { return opened }
    let appender = try FrameAppender(path: file.path)
    opened = appender
    databases.willOpenWriter()
    return appender
  }

  private static func renew(_ appender: FrameAppender) throws(StorageError) {
    var failure: StorageError?
    try storage { () throws(SQLiteError) in
      try appender.withConnection { connection throws(SQLiteError) in
        do throws(StorageError) { try WALRenewal.renew(connection) } catch { failure = error }
      }
    }
    if let failure { throw failure }
  }

  /// Whether recovery would find every commit that is visible now: what is behind a damaged frame would be gone with the process.
  func isLogWhole() throws(StorageError) -> Bool {
    let lastUse = lastUse
    // Which is no use of it.
    defer { self.lastUse = lastUse }
    let appender = try storage { () throws(SQLiteError) in try self.appender() }
    return try Self.isLogWhole(appender, file)
  }

  private static func isLogWhole(_ appender: FrameAppender, _ file: SegmentFile) throws(StorageError) -> Bool {
    try storage { () throws(SQLiteError) in try appender.begin(timeout: lockTimeout) }
    defer { appender.abandon() }
    let count = appender.visibleFrames
    guard count > 0 else { return true }
    guard let log = try LogFile(file.path + "-wal"), case .success(let header) = try WALReader.header(read: log.read) else {
      return false
    }
    return try log.hasFrames(count, of: header)
  }

  // What the rows say

  private static func load(
    _ appender: FrameAppender, _ file: SegmentFile
  ) throws(StorageError) -> (PartitionState, ActiveExtent) {
    let found = try storage { () throws(SQLiteError) in
      try appender.withConnection { connection throws(SQLiteError) in
        try SegmentSQL.load(connection, withProducers: false)
      }
    }
    guard let found else { throw stateless(file) }
    return found
  }

  private static func stateless(_ file: SegmentFile) -> StorageError {
    .damaged(StorageDamage(file: file.path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
  }

  /// - Throws: the segment is not the one its name says, or of another log.
  static func check(_ state: PartitionState, _ file: SegmentFile, of log: PartitionLog) throws(StorageError) {
    guard state.topicID == log.topicID, state.topicPartition == log.topicPartition, state.baseOffset == file.baseOffset,
      state.generation == file.name.generation
    else {
      throw .damaged(
        StorageDamage(
          file: file.path, baseOffset: nil, offset: nil,
          reason:
            "the segment belongs to \(state.topicPartition) (topic id \(state.topicID), base \(state.baseOffset), generation \(state.generation))"
        ))
    }
  }

  static func position(of state: PartitionState) -> CommitPosition {
    CommitPosition(
      leaderEpoch: LeaderEpoch(state.leaderEpoch), segmentBase: Offset(state.baseOffset), commitSequence: state.commitSequence)
  }

  /// Looks at the rows as the sets so far made them.
  ///
  /// - Throws: they are not such that this segment can go on; then nothing less than every page will mend it.
  func look(of log: PartitionLog) throws(StorageError) {
    let appender = try storage { () throws(SQLiteError) in try self.appender() }
    let found = try storage { () throws(SQLiteError) in
      try appender.withConnection { connection throws(SQLiteError) in
        if statements == nil { statements = try StateStatements(connection) }
        return try SegmentSQL.load(statements!)
      }
    }
    guard let (state, extent) = found else { throw Self.stateless(file) }
    try Self.check(state, file, of: log)
    guard Self.position(of: state) == position else {
      let words = "its rows stand at \(Self.position(of: state)), the page sets at \(position)"
      throw .damaged(StorageDamage(file: file.path, baseOffset: nil, offset: nil, reason: words))
    }
    (self.state, self.extent) = (state, extent)
    isAhead = false
  }

  // Pages

  func sums() throws(StorageError) -> PageSums {
    if let knownSums { return knownSums }
    let found = try storage { () throws(SQLiteError) in try readSums() }
    knownSums = found
    return found
  }

  private func readSums() throws(SQLiteError) -> PageSums {
    let appender = try self.appender()
    let pageCount = try appender.pageCount()
    guard let size = PageSize(bytes: appender.pageSize) else {
      throw SQLiteError(code: Self.corrupt, message: "\(file.path) has pages of \(appender.pageSize) bytes")
    }
    var sums = PageSums(pageSize: size)
    let page = UnsafeMutableRawBufferPointer.allocate(byteCount: appender.pageSize, alignment: 16)
    defer { page.deallocate() }
    try appender.begin(timeout: Self.lockTimeout)
    defer { appender.abandon() }
    for number in 1...UInt32(max(1, pageCount)) {
      try appender.read(page: number, into: page)
      sums.append(UnsafeRawBufferPointer(page))
    }
    return sums
  }

  /// Pages that are compared at once.
  private static let scrubbedPages: UInt32 = 64

  /// Compares some pages with their hashes, where those are known. Where one differs they are forgotten: what is there counts now.
  ///
  /// - Returns: the number of the page behind them; nil where there are none.
  func scrub(from first: Int) throws(StorageError) -> (end: Int, bytes: Int, damaged: PageNumber?)? {
    guard let sums = knownSums, first <= sums.pageCount else { return nil }
    let lastUse = lastUse
    // Which is no use of it.
    defer { self.lastUse = lastUse }
    let end = min(sums.pageCount + 1, first + Int(Self.scrubbedPages))
    let damaged = try storage { () throws(SQLiteError) -> PageNumber? in
      let appender = try self.appender()
      let page = UnsafeMutableRawBufferPointer.allocate(byteCount: appender.pageSize, alignment: 16)
      defer { page.deallocate() }
      try appender.begin(timeout: Self.lockTimeout)
      defer { appender.abandon() }
      for number in first..<end {
        let number = PageNumber(UInt32(number))
        try appender.read(page: number.rawValue, into: page)
        if DatabaseSum.ofPage(number, UnsafeRawBufferPointer(page)) != sums.hashes[Int(number.rawValue) - 1] { return number }
      }
      return nil
    }
    if damaged != nil { knownSums = nil }
    return (end, (end - first) * sums.pageSize.bytes, damaged)
  }

  /// SQLITE_CORRUPT.
  private static let corrupt: CInt = 11

  /// Bytes a set must make the database larger by for its new pages to be worth a sync of the file.
  private static let fileWriteBytesMin = 256 << 10

  /// Overflow pages, which have the payload of batches, are written once: they begin with a page number, of which the first byte is 0 in files of
  /// that size. Others begin with the kind of a b-tree's page, and the last ones of those are written again by each commit.
  private static func isLasting(_ page: UnsafeRawBufferPointer) -> Bool { page[0] == 0 }

  /// Appends a set as one commit, visible at once and not durable.
  ///
  /// - Throws: `.diverged` where it does not go on from here. A failed sync is final: the -wal counts for nothing then.
  func apply(_ set: PageSet) throws(ReplicaError) {
    guard !set.entries.isEmpty else { throw .diverged(.impossible("a commit without pages")) }
    do throws(StorageError) { _ = try sums() } catch { throw .storage(error) }
    if let refusal = knownSums!.refusal(of: set, at: position) { throw .diverged(refusal) }
    let appender: FrameAppender
    do throws(SQLiteError) { appender = try self.appender() } catch { throw .storage(.sqlite(error)) }
    var next = position
    var refusal: PagesError?
    do throws(SQLiteError) {
      let header = set.header
      let grownBytes = (header.pageCountAfter - header.pageCountBefore) * header.pageSize.bytes
      let isLarge = grownBytes >= Self.fileWriteBytesMin
      try appender.begin(timeout: Self.lockTimeout, growingTo: isLarge ? UInt32(header.pageCountAfter) : 0)
      refusal = try knownSums!.apply(
        set, at: &next,
        previous: { (number, room) throws(SQLiteError) in try appender.read(page: number.rawValue, into: room) },
        write: { (number, page) throws(SQLiteError) in
          try appender.write(page: number.rawValue, page, isLasting: Self.isLasting(page))
        })
      if refusal == nil { try appender.commit(pageCount: UInt32(set.header.pageCountAfter)) }
    } catch {
      appender.abandon()
      // They may count the set in.
      knownSums = nil
      throw .storage(.sqlite(error))
    }
    if let refusal {
      appender.abandon()
      // What a delta went on from was not the page that was written there.
      if case .resultMismatch = refusal { knownSums = nil }
      throw .diverged(refusal)
    }
    position = next
    isAhead = true
    isUnsynced = true
  }

  // Undoing

  /// Pages as they are before a set is applied.
  struct Pages {
    fileprivate var pages: [(number: UInt32, bytes: [UInt8])] = []
    fileprivate var sums: PageSums
    fileprivate var position: CommitPosition
  }

  func pages(replacedBy set: PageSet) throws(StorageError) -> Pages {
    let sums = try sums()
    var found = Pages(sums: sums, position: position)
    var numbers = set.entries.map(\.page.rawValue).filter { $0 <= sums.pageCount }
    if set.header.pageCountAfter < sums.pageCount {
      let kept = Set(numbers)
      numbers += (UInt32(set.header.pageCountAfter + 1)...UInt32(sums.pageCount)).filter { !kept.contains($0) }
    }
    numbers.removeAll { PageNumber($0) == sums.pageSize.lockPage }
    let size = sums.pageSize.bytes
    found.pages = try storage { () throws(SQLiteError) in
      let appender = try self.appender()
      try appender.begin(timeout: Self.lockTimeout)
      defer { appender.abandon() }
      let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
      defer { room.deallocate() }
      var pages: [(number: UInt32, bytes: [UInt8])] = []
      for number in numbers.sorted() {
        try appender.read(page: number, into: room)
        pages.append((number, Array(room)))
      }
      return pages
    }
    return found
  }

  /// What the rows say, for whoever has still to decide about them; nothing is taken.
  func peek() throws(StorageError) -> (epochs: [EpochStart], endOffset: Int64)? {
    let appender = try storage { () throws(SQLiteError) in try self.appender() }
    let (state, extent) = try Self.load(appender, file)
    return (state.epochs, extent.endOffset)
  }

  /// Appends a commit that restores what was there before the last set.
  func undo(_ before: Pages) throws(StorageError) {
    try storage { () throws(SQLiteError) in
      let appender = try self.appender()
      do throws(SQLiteError) {
        try appender.begin(timeout: Self.lockTimeout)
        for (number, bytes) in before.pages {
          var failure: SQLiteError?
          bytes.withUnsafeBytes { bytes in
            do throws(SQLiteError) { try appender.write(page: number, bytes) } catch { failure = error }
          }
          if let failure { throw failure }
        }
        try appender.commit(pageCount: UInt32(before.sums.pageCount))
      } catch {
        appender.abandon()
        throw error
      }
    }
    (knownSums, position) = (before.sums, before.position)
    (isAhead, isUnsynced) = (true, true)
  }

  // The WAL

  /// Makes every set so far durable.
  func sync() throws(StorageError) {
    guard isUnsynced else { return }
    try storage { () throws(SQLiteError) in try appender().sync() }
    isUnsynced = false
  }

  var uncheckpointedBytes: Int { opened?.uncheckpointedBytes ?? 0 }

  /// Folds the -wal into the file as far as readers let it.
  ///
  /// - Precondition: every set is synced.
  func checkpoint() throws(StorageError) {
    let lastUse = lastUse
    // Which is no use of it.
    defer { self.lastUse = lastUse }
    _ = try storage { () throws(SQLiteError) in try appender().checkpoint() }
    // Whoever leads with it knows then what should be there. Without them only that is missing.
    if uncheckpointedBytes == 0 { try? keepSums() }
  }

  /// What is on the disk counts, and not what was written there.
  func forgetSums() { knownSums = nil }
}
