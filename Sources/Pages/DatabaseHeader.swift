/// The first 100 bytes of a database file (SQLite's file format, section 1.3), as far as pages are concerned.
public struct DatabaseHeader: Hashable, Sendable {
  public static let byteCount = 100
  private static let magic = Array("SQLite format 3\0".utf8)

  public var pageSize: PageSize
  /// The file is written through a -wal.
  public var isWAL: Bool
  /// Bytes at the end of each page that SQLite leaves alone.
  public var reservedBytes: Int
  /// Pages in the database; nil where a program that knows nothing of this field wrote last, and the file's size counts.
  public var pageCount: Int?
  public var firstFreelistTrunk: PageNumber
  /// There are pages that say of each page who points to it, since the database can be vacuumed by itself.
  public var hasPointerMap: Bool
  public var userVersion: UInt32
  public var applicationID: UInt32

  /// - Returns: nil for what is no database.
  public init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count >= Self.byteCount, bytes.prefix(16).elementsEqual(Self.magic) else { return nil }
    let size = Int(bytes[16]) << 8 | Int(bytes[17])
    guard let pageSize = PageSize(bytes: size == 1 ? 65_536 : size) else { return nil }
    self.pageSize = pageSize
    isWAL = bytes[18] == 2 || bytes[19] == 2
    reservedBytes = Int(bytes[20])
    let pages = Int(bytes.word(at: 28))
    // The change counter, and what it was when the number of pages was written.
    pageCount = pages > 0 && bytes.word(at: 24) == bytes.word(at: 92) ? pages : nil
    firstFreelistTrunk = PageNumber(bytes.word(at: 32))
    hasPointerMap = bytes.word(at: 52) != 0
    userVersion = bytes.word(at: 60)
    applicationID = bytes.word(at: 68)
  }

  /// Bytes of a page that SQLite uses.
  var usableBytes: Int { pageSize.bytes - reservedBytes }
}
