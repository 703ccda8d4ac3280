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
    var next = 1
    while let end = try scrubPiece(from: next) {
      guard mayGoOn((end - next) * pageSize.bytes) else { return }
      next = end
    }
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
          try !isSame(PageNumber(UInt32(number)), connection.connection), try isSameLog(), self.end == nil
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
