// The -wal file, as SQLite's documentation of its file format has it (section 4). All integers are big-endian.
//
//   header                                     frame i, from 1, at 32 + (i - 1) * (24 + page size)
//    0 4  magic 0x377f0682 or 0x377f0683        0 4  page number
//    4 4  version 3007000                       4 4  pages in the database after the commit; 0 if more frames follow
//    8 4  page size                             8 8  the header's salts
//   12 4  checkpoints so far                   16 8  checksum
//   16 8  salts 1 and 2                        24    the page
//   24 8  checksum of bytes 0-23
//
// A frame's checksum goes on from the one before it, over its first 8 bytes and the page. Words are summed in the byte order of
// the machine that wrote the file, which the magic's lowest bit says: 1 is big-endian.

/// The running checksum of a -wal file.
public struct WALChecksum: Hashable, Sendable {
  public private(set) var first: UInt32 = 0
  public private(set) var second: UInt32 = 0

  public init() {}
  public init(_ first: UInt32, _ second: UInt32) {
    self.first = first
    self.second = second
  }

  /// - Precondition: a multiple of 8 bytes.
  public mutating func add(_ bytes: UnsafeRawBufferPointer, bigEndianWords: Bool) {
    precondition(bytes.count & 7 == 0, "the checksum is over pairs of words")
    guard let start = bytes.baseAddress else { return }
    var a = first
    var b = second
    var at = start
    let end = start + bytes.count
    while at < end {
      let x = at.loadUnaligned(as: UInt32.self)
      let y = at.loadUnaligned(fromByteOffset: 4, as: UInt32.self)
      a = a &+ (bigEndianWords ? UInt32(bigEndian: x) : UInt32(littleEndian: x)) &+ b
      b = b &+ (bigEndianWords ? UInt32(bigEndian: y) : UInt32(littleEndian: y)) &+ a
      at += 8
    }
    first = a
    second = b
  }
}

/// Two numbers that every frame of a -wal repeats: others are left from before the file was begun anew.
public struct WALSalts: Hashable, Sendable {
  public var first: UInt32
  public var second: UInt32

  public init(_ first: UInt32, _ second: UInt32) {
    self.first = first
    self.second = second
  }
}

/// The first 32 bytes of a -wal file.
public struct WALHeader: Hashable, Sendable {
  public static let byteCount = 32
  public static let frameHeaderByteCount = 24
  static let magic: UInt32 = 0x377f_0682
  static let version: UInt32 = 3_007_000

  public var pageSize: PageSize
  /// Checksums are over big-endian words.
  public var hasBigEndianWords: Bool
  /// How often the file was begun anew, as whoever wrote it counted.
  public var checkpointSequence: UInt32
  public var salts: WALSalts
  public var checksum: WALChecksum

  /// Why bytes are not the header of a -wal.
  public enum Unreadable: Error, Hashable, Sendable {
    /// Fewer than 32 bytes: nothing was committed to it yet.
    case short
    case magic(UInt32)
    case version(UInt32)
    case pageSize(UInt32)
    /// Torn while it was written, or damaged. SQLite ignores the whole file.
    case checksum
  }

  public init(_ bytes: UnsafeRawBufferPointer) throws(Unreadable) {
    guard bytes.count >= Self.byteCount else { throw .short }
    let magic = bytes.word(at: 0)
    guard magic & ~1 == Self.magic else { throw .magic(magic) }
    guard bytes.word(at: 4) == Self.version else { throw .version(bytes.word(at: 4)) }
    guard let size = PageSize(bytes: Int(bytes.word(at: 8))) else { throw .pageSize(bytes.word(at: 8)) }
    pageSize = size
    hasBigEndianWords = magic & 1 == 1
    checkpointSequence = bytes.word(at: 12)
    salts = WALSalts(bytes.word(at: 16), bytes.word(at: 20))
    checksum = WALChecksum()
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[..<24]), bigEndianWords: hasBigEndianWords)
    guard checksum == WALChecksum(bytes.word(at: 24), bytes.word(at: 28)) else { throw .checksum }
  }

  /// Bytes of a frame with its header.
  public var frameBytes: Int { Self.frameHeaderByteCount + pageSize.bytes }
  /// Where frame `index`, counted from 1, begins in the file.
  public func byteOffset(ofFrame index: Int) -> Int { Self.byteCount + (index - 1) * frameBytes }
}

extension WALHeader.Unreadable: CustomStringConvertible {
  public var description: String {
    switch self {
    case .short: "the file is shorter than a header"
    case .magic(let found): "it does not begin as a WAL does (0x\(hexadecimal(UInt64(found), digits: 8)))"
    case .version(let found): "WAL version \(found) is not known"
    case .pageSize(let found): "there are no pages of \(found) bytes"
    case .checksum: "the header's checksum is wrong"
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The big-endian word at `offset`.
  ///
  /// - Precondition: it lies within the bytes.
  func word(at offset: Int) -> UInt32 { UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
}

/// `value` in lower-case hexadecimal digits, with zeros in front.
func hexadecimal(_ value: UInt64, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
