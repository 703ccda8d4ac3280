internal import Bytes
public import Model

// A page set as it travels and lies in .pages files, which are any number of them one after the other. Integers are big-endian.
//
//     0  4  magic "QPGS"                              64  8  database sum before
//     4  1  version, 1                                72  8  database sum after
//     5  1  flags: 1 resync, 2 deltas, 4 compressed   80  8  offset of the first event, or -1
//     6  2  0                                         88  8  offset behind the last event, or -1
//     8  4  page size                                 96  8  bytes of entries that follow the header
//    12  4  pages in the database before             104  8  XXH64 of those bytes
//    16  4  pages in the database after              112  8  XXH64 of bytes 0-111
//    20  4  entries                                  120     the entries
//    24 20  position before: leader epoch 4, segment base 8, commit sequence 8
//    44 20  position after
//
// An entry, in ascending order of pages, each page once:
//
//     0  4  page number
//     4  1  kind: 0 the whole page, 1 delta to the page as it was before, 2 delta to a page of zeros
//     5  4  bytes that follow
//     9     the page, or pairs of runs up to the end: varint bytes to keep, varint bytes to replace, those bytes

/// What a page set says of itself.
public struct PageSetHeader: Hashable, Sendable {
  public static let byteCount = 120
  public static let version: UInt8 = 1
  static let magic: [UInt8] = Array("QPGS".utf8)

  /// What a reader must know about a set to understand it.
  public struct Flags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The position may go anywhere, backwards too: the pages repair, or begin, a database. The state before still has to be the one
    /// named; no pages before means that every page is in the set, whatever was there.
    public static let resync = Flags(rawValue: 1)
    /// Some entries are deltas.
    public static let deltas = Flags(rawValue: 2)
    /// The entries are compressed. Kept free: nothing writes it, and it is refused.
    public static let compressed = Flags(rawValue: 4)
  }

  public var flags: Flags
  public var pageSize: PageSize
  public var pageCountBefore: Int
  public var pageCountAfter: Int
  public var before: CommitPosition
  public var after: CommitPosition
  public var sumBefore: DatabaseSum
  public var sumAfter: DatabaseSum
  /// The events that the set's commits append; nil where they append none, or where whoever made it did not know.
  public var events: Range<Offset>?

  public init(
    flags: Flags, pageSize: PageSize, pageCountBefore: Int, pageCountAfter: Int, before: CommitPosition, after: CommitPosition,
    sumBefore: DatabaseSum, sumAfter: DatabaseSum, events: Range<Offset>?
  ) {
    self.flags = flags
    self.pageSize = pageSize
    self.pageCountBefore = pageCountBefore
    self.pageCountAfter = pageCountAfter
    self.before = before
    self.after = after
    self.sumBefore = sumBefore
    self.sumAfter = sumAfter
    self.events = events
  }

  /// It has every page, and can be applied to anything.
  public var isFullState: Bool { flags.contains(.resync) && pageCountBefore == 0 }

  /// What follows the header, as it says.
  struct Payload: Hashable {
    var entryCount: Int
    var byteCount: Int
    var hash: UInt64
  }

  func write(_ payload: Payload, to bytes: inout [UInt8]) {
    let start = bytes.count
    bytes += Self.magic
    bytes += [Self.version, flags.rawValue, 0, 0]
    for value in [pageSize.bytes, pageCountBefore, pageCountAfter, payload.entryCount] { bytes.appendInteger(UInt32(value)) }
    for position in [before, after] {
      bytes.appendInteger(position.leaderEpoch.rawValue)
      bytes.appendInteger(position.segmentBase.rawValue)
      bytes.appendInteger(position.commitSequence)
    }
    bytes.appendInteger(sumBefore.rawValue)
    bytes.appendInteger(sumAfter.rawValue)
    bytes.appendInteger(events?.lowerBound.rawValue ?? -1)
    bytes.appendInteger(events?.upperBound.rawValue ?? -1)
    bytes.appendInteger(UInt64(payload.byteCount))
    bytes.appendInteger(payload.hash)
    let hash = bytes.withUnsafeBytes { XXH64.of(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    bytes.appendInteger(hash)
  }

  /// - Parameter bytes: at least `byteCount`; what follows is not looked at.
  static func read(_ bytes: UnsafeRawBufferPointer, payloadBytesMax: Int) throws(PagesError) -> (PageSetHeader, Payload) {
    let outcome: Result<(PageSetHeader, Payload), PagesError>
    do throws(WireError) {
      var reader = ByteReader(bytes)
      outcome = try fields(&reader, bytes, payloadBytesMax: payloadBytesMax)
    } catch { throw .notPageSet("\(error)") }
    return try outcome.get()
  }

  private static func fields(
    _ reader: inout ByteReader, _ bytes: UnsafeRawBufferPointer, payloadBytesMax: Int
  ) throws(WireError) -> Result<(PageSetHeader, Payload), PagesError> {
    guard try reader.bytes(4).elementsEqual(magic) else { return .failure(.notPageSet("it begins with something else")) }
    let version: UInt8 = try reader.integer()
    guard version == Self.version else { return .failure(.unknownFormat("page set version \(version)")) }
    let flags = Flags(rawValue: try reader.integer())
    let reserved: UInt16 = try reader.integer()
    let sizes = (try reader.integer(UInt32.self), try reader.integer(UInt32.self), try reader.integer(UInt32.self))
    let entryCount = try reader.integer(UInt32.self)
    let before = try position(&reader)
    let after = try position(&reader)
    let sums = (DatabaseSum(try reader.integer()), DatabaseSum(try reader.integer()))
    let events = (Offset(try reader.integer()), Offset(try reader.integer()))
    let payloadBytes: UInt64 = try reader.integer()
    let payloadHash: UInt64 = try reader.integer()
    guard try reader.integer() == XXH64.of(UnsafeRawBufferPointer(rebasing: bytes[..<112])) else {
      return .failure(.notPageSet("the header's hash is wrong"))
    }
    // From here on it is what somebody wrote.
    guard flags.isSubset(of: [.resync, .deltas]), reserved == 0 else {
      return .failure(.unknownFormat("page set flags \(flags.rawValue)"))
    }
    guard let pageSize = PageSize(bytes: Int(sizes.0)) else { return .failure(.impossible("pages of \(sizes.0) bytes")) }
    guard payloadBytes <= UInt64(payloadBytesMax) else {
      return .failure(.tooLarge(bytes: Int(clamping: payloadBytes), limit: payloadBytesMax))
    }
    var range: Range<Offset>?
    if events != (Offset(-1), Offset(-1)) {
      guard events.0 >= .zero, events.0 <= events.1 else { return .failure(.impossible("events \(events.0) to \(events.1)")) }
      range = events.0..<events.1
    }
    let header = PageSetHeader(
      flags: flags, pageSize: pageSize, pageCountBefore: Int(sizes.1), pageCountAfter: Int(sizes.2), before: before,
      after: after,
      sumBefore: sums.0, sumAfter: sums.1, events: range)
    if let complaint = header.complaint { return .failure(.impossible(complaint)) }
    let payload = Payload(entryCount: Int(entryCount), byteCount: Int(payloadBytes), hash: payloadHash)
    guard payload.entryCount <= payload.byteCount / PageSet.entryHeaderBytes else {
      return .failure(.impossible("\(entryCount) entries in \(payloadBytes) bytes"))
    }
    return .success((header, payload))
  }

  private static func position(_ reader: inout ByteReader) throws(WireError) -> CommitPosition {
    CommitPosition(
      leaderEpoch: LeaderEpoch(try reader.integer()), segmentBase: Offset(try reader.integer()),
      commitSequence: try reader.integer())
  }

  /// What cannot be; nil if it can.
  var complaint: String? {
    if pageCountAfter == 0 { return "a database without pages" }
    if !flags.contains(.resync), !before.canBecome(after) { return "commits that lead from \(before) to \(after)" }
    if pageCountBefore == 0, sumBefore != .empty { return "a sum over no pages" }
    return nil
  }
}

extension XXH64 {
  static func of(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash = XXH64()
    hash.update(bytes)
    return hash.value
  }
}

extension Array where Element == UInt8 {
  mutating func appendInteger<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }

  mutating func appendVarint(_ value: Int) {
    var rest = UInt32(value)
    while rest >= 0x80 {
      append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    append(UInt8(rest))
  }
}
