internal import Bytes

/// The pages that one commit, or several merged ones, changed: the last version of each.
///
/// Keeps its entries as they travel; what is in memory was checked, so that nothing in it can lead out of a page.
public struct PageSet: Hashable, Sendable {
  public let header: PageSetHeader
  /// In ascending order of pages.
  public let entries: [Entry]
  /// The entries as they travel.
  let payload: [UInt8]
  /// Its XXH64.
  let payloadHash: UInt64

  static let entryHeaderBytes = 9

  public struct Entry: Hashable, Sendable {
    public enum Kind: UInt8, Sendable {
      case whole = 0
      /// Ranges to be replaced in the page as it was before the set.
      case delta = 1
      /// Ranges to be replaced in a page of zeros.
      case zeroDelta = 2
    }

    public var page: PageNumber
    public var kind: Kind
    /// Where its bytes lie in the payload.
    var bytes: Range<Int>

    public var byteCount: Int { bytes.count }
  }

  /// Checks everything but the hash of `payload`.
  init(_ header: PageSetHeader, entryCount: Int, payload: [UInt8], hash: UInt64) throws(PagesError) {
    self.header = header
    self.payload = payload
    payloadHash = hash
    do throws(WireError) {
      entries = try payload.withRawBytes { (bytes: UnsafeRawBufferPointer) throws(WireError) in
        try Self.entries(of: bytes, entryCount)
      }
    } catch {
      throw .impossible("its entries end early, or go on")
    }
    if let complaint { throw .impossible(complaint) }
  }

  private static func entries(of payload: UnsafeRawBufferPointer, _ count: Int) throws(WireError) -> [Entry] {
    var reader = ByteReader(payload)
    var entries: [Entry] = []
    // A header alone promises nothing.
    entries.reserveCapacity(min(count, payload.count / entryHeaderBytes))
    for _ in 0..<count {
      let page = PageNumber(try reader.integer())
      guard let kind = Entry.Kind(rawValue: try reader.integer()) else { throw .malformed("kind") }
      let byteCount = Int(try reader.integer(UInt32.self))
      let start = reader.index
      try reader.skip(byteCount)
      entries.append(Entry(page: page, kind: kind, bytes: start..<start + byteCount))
    }
    guard reader.isAtEnd else { throw .malformed("rest") }
    return entries
  }

  /// What cannot be; nil if it can.
  private var complaint: String? {
    let size = header.pageSize
    var previous = PageNumber(0)
    // Every page the database grew by must be there: nobody could know what else is in it.
    var grown = header.pageCountBefore
    for entry in entries {
      let page = entry.page
      guard page > previous else { return "page \(page) behind page \(previous)" }
      guard page.rawValue <= header.pageCountAfter, page != size.lockPage else { return "page \(page)" }
      previous = page
      if page.rawValue > header.pageCountBefore {
        if grown + 1 == size.lockPage.rawValue { grown += 1 }
        guard page.rawValue == grown + 1 else { return "page \(grown + 1) is missing" }
        grown += 1
      }
      switch entry.kind {
      case .whole: guard entry.bytes.count == size.bytes else { return "page \(page) with \(entry.bytes.count) bytes" }
      case .delta, .zeroDelta:
        guard entry.kind == .zeroDelta || page.rawValue <= header.pageCountBefore else {
          return "a delta to page \(page), which was not there"
        }
        guard withBytes(of: entry, { PageDelta.isWellFormed($0, pageSize: size) }) else { return "the delta of page \(page)" }
      }
    }
    if grown + 1 == size.lockPage.rawValue { grown += 1 }
    guard grown >= header.pageCountAfter else { return "page \(grown + 1) is missing" }
    guard header.flags.contains(.deltas) == entries.contains(where: { $0.kind != .whole }) else {
      return "flags that do not fit its entries"
    }
    return nil
  }

  /// The bytes of an entry as they travel: a page, or a delta.
  public func withBytes<R>(of entry: Entry, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    payload.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[entry.bytes])) }
  }

  /// Whether the page as it was before is needed to know it.
  public func needsPrevious(_ entry: Entry) -> Bool { entry.kind == .delta }

  /// Makes an entry's page as it is after the set.
  ///
  /// - Parameter page: one page; has the page as it was before where `needsPrevious` says so.
  public func resolve(_ entry: Entry, in page: UnsafeMutableRawBufferPointer) {
    precondition(page.count == header.pageSize.bytes, "room for one page")
    withBytes(of: entry) { bytes in
      switch entry.kind {
      case .whole: page.copyMemory(from: bytes)
      case .delta: PageDelta.apply(bytes, to: page)
      case .zeroDelta:
        page.initializeMemory(as: UInt8.self, repeating: 0)
        PageDelta.apply(bytes, to: page)
      }
    }
  }

  /// Bytes as it travels.
  public var encodedByteCount: Int { PageSetHeader.byteCount + payload.count }

  /// Appends the set as it travels.
  public func encode(into bytes: inout [UInt8]) {
    bytes.reserveCapacity(bytes.count + encodedByteCount)
    encode { bytes.append(contentsOf: $0) }
  }

  /// Gives the set as it travels to `write`, in pieces.
  public func encode(_ write: (UnsafeRawBufferPointer) -> Void) {
    var head: [UInt8] = []
    header.write(.init(entryCount: entries.count, byteCount: payload.count, hash: payloadHash), to: &head)
    head.withUnsafeBytes(write)
    payload.withUnsafeBytes(write)
  }
}

extension Array where Element == UInt8 {
  /// `withUnsafeBytes` with typed throws.
  func withRawBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    var outcome: Result<R, E>?
    withUnsafeBytes { bytes in
      do throws(E) { outcome = .success(try body(bytes)) } catch { outcome = .failure(error) }
    }
    return try outcome!.get()
  }
}
