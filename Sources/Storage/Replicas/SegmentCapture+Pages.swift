internal import Model
internal import Pages
internal import SQLite

// Reading the segment. Everything here is under `work`.

extension SegmentCapture {
  /// Bytes of pages that are hashed before others have a turn, and about as many as go into one set.
  static let hashedBytesMax = 32 << 20
  static let setBytesMax = 2 << 20

  /// Copies a page as it was at `position`, or whatever lies there if that was not kept.
  func read(_ number: PageNumber, _ database: Connection, into room: UnsafeMutableRawBufferPointer) throws(StorageError) {
    if let frame = frames[number], let log {
      _ = try log.file.read(Self.start(ofFrame: frame, log.reader.chain.header), room)
    } else {
      let offset = Int64(number.byteOffset(pageSize: pageSize))
      try storage { () throws(SQLiteError) in try database.readDatabaseFile(at: offset, into: room) }
    }
  }

  /// Where the page in a frame begins.
  private static func start(ofFrame frame: Int, _ header: WALHeader) -> Int {
    header.byteOffset(ofFrame: frame) + WALHeader.frameHeaderByteCount
  }

  /// Reads the log's header again: frames that were read before are what they were taken for if it is the same.
  func isSameLog() throws(StorageError) -> Bool {
    guard let log else { return true }
    guard case .success(let header) = try WALReader.header(read: log.file.read) else { return false }
    return header.salts == log.reader.chain.header.salts
  }

  // The state that the sets go on from

  /// Hashes the next of the pages that the segment had when the capture began.
  ///
  /// - Returns: false where it was lost; `isReady` says whether all pages are done.
  func hashNextPages(_ database: Connection) throws(StorageError) -> Bool {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize.bytes, alignment: 16)
    defer { room.deallocate() }
    if place == nil {
      // What is needed of the header is the same in each version of the page.
      try storage { () throws(SQLiteError) in try database.readDatabaseFile(at: 0, into: room) }
      guard let header = DatabaseHeader(UnsafeRawBufferPointer(room)), header.pageSize == pageSize else {
        return lose("its first page is none")
      }
      place = SegmentPosition(header, page: statePage)
      if !wasFolded { guard try findPlace(database) else { return false } }
      keptSums = try readKeptSums(database)
      if keptSums == nil { try checkStructure(database) }
    }
    let end = min(firstPageCount, sums.pageCount + max(1, Self.hashedBytesMax / pageSize.bytes))
    database.expectSequentialRead(of: (end - sums.pageCount) * pageSize.bytes)
    defer { database.expectSequentialRead(of: 0) }
    while sums.pageCount < end {
      let number = PageNumber(UInt32(sums.pageCount + 1))
      try read(number, database, into: room)
      sums.append(UnsafeRawBufferPointer(room))
      if let keptSums, frames[number] == nil, number.rawValue <= keptSums.pageCount, number != pageSize.lockPage,
        keptSums.hashes[sums.pageCount - 1] != sums.hashes[sums.pageCount - 1]
      {
        noteDamage("page \(number) is not what was written there")
      }
    }
    guard sums.pageCount == firstPageCount else { return true }
    keptSums = nil
    if !wasFolded { guard try isSameLog() else { return lose("its log was begun anew") } }
    isReady = true
    noteCaptured(upTo: position)
    return true
  }

  /// Goes to the place in the log behind `position`, and notes the frames in front of it.
  ///
  /// While this node followed, a leader may have undone commits of it, so that sequences go back, and sent single pages anew, in commits that have
  /// no position of their own. The last commit at `position` is the one: what this life has appended is behind it.
  ///
  /// - Returns: false where it was lost.
  private func findPlace(_ database: Connection) throws(StorageError) -> Bool {
    frames = [:]
    guard let file = try LogFile(file.path + "-wal"), case .success(let header) = try WALReader.header(read: file.read) else {
      return true
    }
    let start = WALReader(from: WALChain(header))
    var reader = start
    var passed: [PageNumber: Int] = [:]
    var current = try foldedPosition(database)
    var match: (reader: WALReader, frames: [PageNumber: Int])?
    var hasEarlier = false
    while true {
      switch try reader.next(read: file.read) {
      case .commit(let commit):
        current = try commitPosition(of: commit, file, header) ?? current
        guard let found = current else { return lose("a commit of its log has no position") }
        for frame in commit.pages { passed[frame.page] = frame.index }
        if found == position { match = (reader, passed) } else if !position.canBecome(found) { hasEarlier = true }
      case .end(.restarted): return lose("its log was begun anew")
      case .end:
        if let match {
          frames = match.frames
          log = (file, match.reader)
          return true
        }
        // All of it was appended since, to a file that stands at the position.
        log = (file, start)
        return hasEarlier ? lose("its log ends in front of \(position)") : true
      }
    }
  }

  private func commitPosition(of commit: WALCommit, _ file: LogFile, _ header: WALHeader) throws(StorageError)
    -> CommitPosition?
  {
    guard let place, let frame = commit.pages.first(where: { $0.page == statePage }) else { return nil }
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize.bytes, alignment: 16)
    defer { room.deallocate() }
    guard try file.read(Self.start(ofFrame: frame.index, header), room) == pageSize.bytes else { return nil }
    return place.read(UnsafeRawBufferPointer(room))
  }

  // Sets

  /// Makes sets of what was committed, as far as there is room for them.
  ///
  /// - Returns: false where it was lost.
  func catchUp(_ database: Connection) throws(StorageError) -> Bool {
    while let target = nextTarget() { guard try captureNext(upTo: target, database) else { return false } }
    return true
  }

  /// One set of some of the next commits: each page travels once.
  private func captureNext(upTo target: CommitPosition, _ database: Connection) throws(StorageError) -> Bool {
    if log == nil { guard try findPlace(database) else { return false } }
    guard let file = log?.file else { return lose("its log is missing") }
    var changed: [PageNumber: Int] = [:]
    var pageCount = sums.pageCount
    var count: Int64 = 0
    while position.commitSequence + count < target.commitSequence, changed.count * pageSize.bytes < Self.setBytesMax {
      switch try log!.reader.next(read: file.read) {
      case .commit(let commit):
        count += 1
        pageCount = commit.pageCount
        for frame in commit.pages { changed[frame.page] = frame.index }
      case .end(.restarted(let header?)) where count == 0:
        // Only what was captured could be folded, and only a log that was folded begins anew: the file has it all.
        log!.reader = WALReader(from: WALChain(header))
        frames = [:]
      case .end(let end): return lose("its log has not what was committed up to \(target): \(end)")
      }
    }
    let numbers = changed.keys.filter { $0.rawValue <= pageCount && $0 != pageSize.lockPage }.sorted()
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: numbers.count * pageSize.bytes, alignment: 16)
    defer { bytes.deallocate() }
    for (index, number) in numbers.enumerated() {
      _ = try file.read(Self.start(ofFrame: changed[number]!, log!.reader.chain.header), page(index, of: bytes))
    }
    guard try isSameLog() else { return lose("its log was begun anew before it was captured") }
    guard let state = numbers.firstIndex(of: statePage),
      let after = place!.read(UnsafeRawBufferPointer(page(state, of: bytes))),
      after.commitSequence == position.commitSequence + count, position.canBecome(after)
    else { return lose("its log does not go on from \(position)") }
    var before: [PageNumber: UInt64] = [:]
    for number in numbers where number.rawValue <= sums.pageCount { before[number] = sums.hashes[Int(number.rawValue) - 1] }
    let captured = try sums.capture(
      pages: numbers.enumerated().map { ($0.element, UnsafeRawBufferPointer(page($0.offset, of: bytes))) },
      pageCount: pageCount, before: position, after: after
    ) { (number: PageNumber, room: UnsafeMutableRawBufferPointer) throws(StorageError) -> Bool in
      try read(number, database, into: room)
      return DatabaseSum.ofPage(number, UnsafeRawBufferPointer(room)) == before[number]
    }
    guard case .success(let set) = captured else { return lose("its commits make no page set: \(captured)") }
    frames.merge(changed) { $1 }
    if pageCount < set.header.pageCountBefore { frames = frames.filter { $0.key.rawValue <= pageCount } }
    sets.append(set)
    trim()
    noteCaptured(upTo: after)
    return true
  }

  private func page(_ index: Int, of bytes: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: bytes[index * pageSize.bytes..<(index + 1) * pageSize.bytes])
  }

  /// The pages that differ from those of a follower, or one where there are none: there is no commit without a page.
  func pagesToSend(to theirs: PageSums) -> [PageNumber] {
    let numbers = theirs.differences(from: sums).filter { $0.rawValue <= sums.pageCount && $0 != pageSize.lockPage }
    return numbers.isEmpty ? [statePage] : numbers
  }

  /// A set that makes the database at `position` of one with other pages.
  ///
  /// - Parameter theirs: the sums of that; of no pages for a full state.
  /// - Returns: nil where it was lost.
  func resync(
    _ numbers: [PageNumber], of theirs: PageSums, at before: CommitPosition, _ database: Connection
  ) throws(StorageError) -> PageSet? {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: numbers.count * pageSize.bytes, alignment: 16)
    defer { bytes.deallocate() }
    for (index, number) in numbers.enumerated() {
      let room = page(index, of: bytes)
      try read(number, database, into: room)
      guard DatabaseSum.ofPage(number, UnsafeRawBufferPointer(room)) == sums.hashes[Int(number.rawValue) - 1] else {
        _ = lose("page \(number) is not what it was captured as")
        return nil
      }
    }
    var from = theirs
    let made = from.capture(
      pages: numbers.enumerated().map { ($0.element, UnsafeRawBufferPointer(page($0.offset, of: bytes))) },
      pageCount: sums.pageCount, before: before, after: position, resync: true
    ) { (_, _) in false }
    if case .success(let set) = made { return set }
    _ = lose("its pages make no page set: \(made)")
    return nil
  }
}
