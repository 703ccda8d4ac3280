internal import Glibc
internal import Model
internal import Pages
internal import SQLite

// What lies on the leader's disk, compared with what it should be.

extension SegmentCapture {
  /// Verifies the next of the batches that were there when the capture began: what is hashed next is what followers are to have.
  ///
  /// - Returns: whether there are more to be verified.
  func checkBatches(_ connection: SegmentConnection) -> Bool {
    guard damage == nil, checkedUpTo < batchesEnd else { return false }
    let begin = checkedUpTo
    do throws(StorageError) {
      var bytes = 0
      while bytes < Self.hashedBytesMax, checkedUpTo < batchesEnd {
        let position = checkedUpTo
        bytes += try connection.checkBatches(position: &checkedUpTo, below: batchesEnd, maxBytes: 1 << 20)
        if checkedUpTo == position { break }
      }
    } catch {
      // What cannot be read otherwise is said by whoever needs it.
      if case .damaged(let found) = error {
        damage = found
        store.scrub?.suspect(file)
      }
      checkedUpTo = batchesEnd
    }
    if checkedUpTo == begin { checkedUpTo = batchesEnd }
    return checkedUpTo < batchesEnd
  }

  /// Reads every page, and compares it with its sum, as of what was captured.
  ///
  /// - Parameter mayGoOn: called after each piece, with its bytes.
  /// - Throws: `.damaged`.
  func scrub(_ mayGoOn: (Int) -> Bool) throws(StorageError) {
    try scrubLog()
    if let damage = knownDamage { throw .damaged(damage) }
    var next = 1
    while let end = try scrubPiece(from: next) {
      guard mayGoOn((end - next) * pageSize.bytes) else { return }
      next = end
    }
  }

  /// Whether recovery would find what was captured: what is behind a damaged frame would be gone with the process.
  private func scrubLog() throws(StorageError) {
    work.lock()
    defer { endWork() }
    guard isReady, end == nil, damage == nil, let log else { return }
    let known = log.reader.chain
    if try log.file.hasFrames(known.frameCount, of: known.header) { return }
    // A log that is begun anew has another header first.
    for _ in 0..<3 {
      if case .success(let header) = try WALReader.header(read: log.file.read) {
        if header.salts != known.header.salts { return }
        if try log.file.hasFrames(known.frameCount, of: known.header) { return }
        if case .success(let again) = try WALReader.header(read: log.file.read), again.salts != known.header.salts { return }
        break
      }
      usleep(20_000)
    }
    if isLetGo { return }
    noteDamage("frames of its WAL are not what was written there")
  }

  /// The -wal may have been emptied, with all of it in the file: the log was closed, or the segment has a successor and is being sealed.
  private var isLetGo: Bool { monitor.withLock { progress.isLogStale || progress.successor != nil || progress.end != nil } }

  private var knownDamage: StorageDamage? {
    work.lock()
    defer { endWork() }
    return end == nil ? damage : nil
  }

  // What an earlier life left

  /// Where the file stands without its -wal.
  func foldedPosition(_ database: Connection) throws(StorageError) -> CommitPosition? {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize.bytes, alignment: 16)
    defer { room.deallocate() }
    try storage { () throws(SQLiteError) in
      try database.readDatabaseFile(at: Int64(statePage.byteOffset(pageSize: pageSize)), into: room)
    }
    return place?.read(UnsafeRawBufferPointer(room))
  }

  /// The hashes of the pages in the file, where they were kept when it was folded last.
  func readKeptSums(_ database: Connection) throws(StorageError) -> PageSums? {
    guard let folded = try foldedPosition(database) else { return nil }
    return KeptSums.read(of: file, at: folded, pageSize: pageSize.bytes)
  }

  /// A page that was not written by this life is not what was left in its place.
  func noteDamage(_ reason: String) {
    guard damage == nil, end == nil else { return }
    damage = StorageDamage(file: file.path, baseOffset: nil, offset: nil, reason: reason)
    store.scrub?.suspect(file)
  }

  /// Whether pages, where no hashes of them were kept, are at least those of a sound database.
  func checkStructure(_ database: Connection) throws(StorageError) {
    do throws(SQLiteError) {
      let found = try database.text("PRAGMA integrity_check(1)")
      if found != "ok" { noteDamage(found ?? "its structure cannot be read") }
    } catch {
      guard error.isCorruption else { throw .sqlite(error) }
      noteDamage(error.message)
    }
  }

  /// The hashes of all pages at the segment's end; nil where they are not known.
  ///
  /// - Precondition: nothing is committed to the segment any more.
  var finalSums: PageSums? {
    guard isComplete, work.tryLock() else { return nil }
    defer { endWork() }
    return isReady && damage == nil ? sums : nil
  }

  /// Keeps the hashes for a later life, where the file alone is what was captured.
  ///
  /// - Parameter position: of the file, all of whose -wal is in it.
  func keepSums(at position: CommitPosition) {
    guard work.tryLock() else { return }
    defer { endWork() }
    guard isReady, end == nil, damage == nil, self.position == position else { return }
    try? KeptSums.write(sums, at: position, of: file)
  }

  private static let pagesAtOnce = 64

  /// - Returns: the number of the page behind them; nil where there are none.
  private func scrubPiece(from first: Int) throws(StorageError) -> Int? {
    guard work.tryLock() else { return nil }
    defer { endWork() }
    guard isReady, end == nil, damage == nil, first <= sums.pageCount else { return nil }
    let end = min(sums.pageCount + 1, first + Self.pagesAtOnce)
    let found = try store.readers.withConnection(to: file) { connection throws(StorageError) -> PageNumber? in
      // Behind a log that was begun anew nothing is where it was.
      guard try catchUp(connection.connection), self.end == nil else { return nil }
      for number in first..<min(end, sums.pageCount + 1) where PageNumber(UInt32(number)) != pageSize.lockPage {
        guard try !isSame(PageNumber(UInt32(number)), connection.connection) else { continue }
        // Once more: it may have been begun anew just now.
        guard try catchUp(connection.connection), self.end == nil, number <= sums.pageCount,
          try !isSame(PageNumber(UInt32(number)), connection.connection), try isSameLog(), self.end == nil, !isLetGo
        else { continue }
        return PageNumber(UInt32(number))
      }
      return nil
    }
    guard let found else { return end }
    let damage = StorageDamage(
      file: file.path, baseOffset: nil, offset: nil, reason: "page \(found) is not what was written there")
    self.damage = damage
    throw .damaged(damage)
  }

  private func isSame(_ number: PageNumber, _ database: Connection) throws(StorageError) -> Bool {
    let room = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize.bytes, alignment: 16)
    defer { room.deallocate() }
    try read(number, database, into: room)
    return DatabaseSum.ofPage(number, UnsafeRawBufferPointer(room)) == sums.hashes[Int(number.rawValue) - 1]
  }
}
