internal import Bytes
public import Model

extension PageSums {
  /// The page set of a commit, whose pages are counted in.
  ///
  /// - Parameters:
  ///   - pages: of the database after the commit, in any order; of a page that comes twice the last counts, and those behind its end are
  ///     left out.
  ///   - previous: copies a page as it was before the commit, for a delta, and says whether it did; without it pages travel whole, but for
  ///     zeros. Asked only for pages that were there before.
  /// - Throws: `.impossible` where the pages cannot be those of a commit, such as when the database grew by more; nothing is changed.
  public mutating func capture<E: Error>(
    pages: [(number: PageNumber, bytes: UnsafeRawBufferPointer)], pageCount: Int, before: CommitPosition, after: CommitPosition,
    events: Range<Offset>? = nil, resync: Bool = false,
    previous: (PageNumber, UnsafeMutableRawBufferPointer) throws(E) -> Bool
  ) throws(E) -> Result<PageSet, PagesError> {
    var latest: [PageNumber: Int] = [:]
    for (index, page) in pages.enumerated() where page.number.rawValue <= pageCount && page.number != pageSize.lockPage {
      latest[page.number] = index
    }
    var change = change(pageCount: pageCount)
    var writer = PageSetWriter(pageSize: pageSize)
    for index in latest.values.sorted(by: { pages[$0].number < pages[$1].number }) {
      let (number, bytes) = pages[index]
      precondition(bytes.count == pageSize.bytes, "a page has the database's page size")
      let isNew = number.rawValue > self.pageCount
      try writer.append(number, bytes) { (room: UnsafeMutableRawBufferPointer) throws(E) -> Bool in
        if isNew { return false }
        return try previous(number, room)
      }
      change.set(number, DatabaseSum.ofPage(number, bytes), in: self)
    }
    let header = PageSetHeader(
      flags: resync ? .resync : [], pageSize: pageSize, pageCountBefore: self.pageCount, pageCountAfter: pageCount,
      before: before, after: after, sumBefore: total, sumAfter: change.total, events: events)
    do throws(PagesError) {
      let set = try writer.finish(header)
      commit(change)
      return .success(set)
    } catch { return .failure(error) }
  }

  /// Applies a page set to the database that these sums are of: checks that it goes on from here, hands over each page, and checks that
  /// what came out is what it was made of.
  ///
  /// - Parameters:
  ///   - position: where the database stands; moved when all is well.
  ///   - previous: fills the room with a page as it is now.
  ///   - write: gets each page as it is to be. Nobody may see them before this returns: only then they are known to be right.
  /// - Returns: why the set does not belong here; then sums and position are what they were.
  /// - Throws: what the closures throw, likewise.
  public mutating func apply<E: Error>(
    _ set: PageSet, at position: inout CommitPosition,
    previous: (PageNumber, UnsafeMutableRawBufferPointer) throws(E) -> Void,
    write: (PageNumber, UnsafeRawBufferPointer) throws(E) -> Void
  ) throws(E) -> PagesError? {
    if let refusal = refusal(of: set, at: position) { return refusal }
    let base = set.header.isFullState ? PageSums(pageSize: pageSize) : self
    var change = base.change(pageCount: set.header.pageCountAfter)
    var room = [UInt8](repeating: 0, count: pageSize.bytes)
    for entry in set.entries {
      let hash = try room.withRaw { (page: UnsafeMutableRawBufferPointer) throws(E) -> UInt64 in
        if set.needsPrevious(entry) { try previous(entry.page, page) }
        set.resolve(entry, in: page)
        try write(entry.page, UnsafeRawBufferPointer(page))
        return DatabaseSum.ofPage(entry.page, UnsafeRawBufferPointer(page))
      }
      change.set(entry.page, hash, in: base)
    }
    guard change.total == set.header.sumAfter else {
      return .resultMismatch(result: change.total, set: set.header.sumAfter)
    }
    if set.header.isFullState { self = base }
    commit(change)
    position = set.header.after
    return nil
  }

  /// Why a page set does not go on from here; nil if it does.
  public func refusal(of set: PageSet, at position: CommitPosition) -> PagesError? {
    let header = set.header
    guard header.pageSize == pageSize else {
      return .pageSizeMismatch(database: pageSize.bytes, set: header.pageSize.bytes)
    }
    if header.isFullState { return nil }
    if !header.flags.contains(.resync), header.before != position {
      return .positionMismatch(database: position, set: header.before)
    }
    guard header.sumBefore == total, header.pageCountBefore == pageCount else {
      return .stateMismatch(database: total, pages: pageCount, set: header.sumBefore, setPages: header.pageCountBefore)
    }
    return nil
  }
}

/// Entries of a page set, written one after the other.
struct PageSetWriter {
  private let pageSize: PageSize
  private var payload: [UInt8] = []
  private var entryCount = 0
  private var hasDeltas = false
  private var room: [UInt8]

  init(pageSize: PageSize) {
    self.pageSize = pageSize
    room = [UInt8](repeating: 0, count: pageSize.bytes)
  }

  /// Writes a page in the fewest bytes.
  ///
  /// - Parameter previous: fills the room with the page as it was, or returns false.
  mutating func append<E: Error>(
    _ number: PageNumber, _ page: UnsafeRawBufferPointer, previous: (UnsafeMutableRawBufferPointer) throws(E) -> Bool
  ) throws(E) {
    let start = begin(number)
    var limit = page.count
    if try room.withRaw(previous) {
      let isShorter = room.withUnsafeBytes { PageDelta.append(from: $0, to: page, limit: limit, to: &payload) }
      if isShorter { return end(start, .delta) }
    }
    // A page that is mostly empty. Worth a try only where there are zeros at all: free space is in front of the cells.
    limit -= limit / 8
    if PageDelta.hasZeros(page), PageDelta.append(from: nil, to: page, limit: limit, to: &payload) {
      return end(start, .zeroDelta)
    }
    payload.append(contentsOf: page)
    end(start, .whole)
  }

  mutating func append(_ number: PageNumber, _ kind: PageSet.Entry.Kind, _ bytes: UnsafeRawBufferPointer) {
    let start = begin(number)
    payload.append(contentsOf: bytes)
    end(start, kind)
  }

  private mutating func begin(_ number: PageNumber) -> Int {
    let start = payload.count
    payload.appendInteger(number.rawValue)
    payload += [0, 0, 0, 0, 0]
    return start
  }

  private mutating func end(_ start: Int, _ kind: PageSet.Entry.Kind) {
    payload[start + 4] = kind.rawValue
    let byteCount = UInt32(payload.count - start - PageSet.entryHeaderBytes)
    for index in 0..<4 { payload[start + 5 + index] = UInt8(truncatingIfNeeded: byteCount >> UInt32(24 - 8 * index)) }
    if kind != .whole { hasDeltas = true }
    entryCount += 1
  }

  /// - Throws: `.impossible`.
  consuming func finish(_ header: PageSetHeader) throws(PagesError) -> PageSet {
    var header = header
    if hasDeltas { header.flags.insert(.deltas) } else { header.flags.remove(.deltas) }
    if let complaint = header.complaint { throw .impossible(complaint) }
    let hash = payload.withUnsafeBytes { XXH64.of($0) }
    return try PageSet(header, entryCount: entryCount, payload: payload, hash: hash)
  }
}
