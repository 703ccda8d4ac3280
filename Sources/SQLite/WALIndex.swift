internal import CSQLite
internal import Glibc

// The wal-index (-shm), as SQLite's documentation of the WAL format and wal.c have it, in the machine's byte order, in regions of
// 32,768 bytes. The format has not changed since 3.7.0; SQLite asserts it by constants.
//
//   0  header, 48 bytes, and a copy of it at 48      120  bytes that are locked: WRITE, CKPT, RECOVER, READ0-READ4
//   96  frames a checkpoint has copied               128  frames a checkpoint has tried to copy
//   100  five read marks                             136  region 0: 4062 page numbers, at 16384 8192 slots of the hash
//                                                    0    others: 4096 page numbers, at 16384 8192 slots

/// The header of a wal-index: which frames of the -wal are valid.
struct WALIndexHeader: Equatable {
  static let byteCount = 48
  private static let version: UInt32 = 3_007_000

  var changeCount: UInt32
  /// The -wal's checksums are over big-endian words.
  var hasBigEndianWords: Bool
  /// In bytes.
  var pageSize: Int
  var frameCount: UInt32
  var pageCount: UInt32
  /// Of the last frame.
  var checksum: (UInt32, UInt32)
  /// As they lie in the -wal: big-endian, whatever the machine.
  var salts: (UInt32, UInt32)

  /// - Returns: nil where the two copies differ, or are not what they should be: SQLite recovers it then.
  init?(_ first: UnsafeRawPointer, _ second: UnsafeRawPointer) {
    func word(_ at: Int) -> UInt32 { first.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
    guard memcmp(first, second, Self.byteCount) == 0, first.load(fromByteOffset: 12, as: UInt8.self) == 1,
      word(0) == Self.version, WALSum.of(first, 40) == (word(40), word(44))
    else { return nil }
    changeCount = word(8)
    hasBigEndianWords = first.load(fromByteOffset: 13, as: UInt8.self) != 0
    let size = Int(first.loadUnaligned(fromByteOffset: 14, as: UInt16.self))
    pageSize = (size & 0xFE00) + (size & 1) << 16
    frameCount = word(16)
    pageCount = word(20)
    checksum = (word(24), word(28))
    salts = (word(32), word(36))
  }

  var bytes: [UInt8] {
    let size = UInt32(pageSize & 0xFF00 | pageSize >> 16)
    // isInit, bigEndCksum and szPage lie in this order in memory.
    let fields: [UInt8] = [1, hasBigEndianWords ? 1 : 0] + withUnsafeBytes(of: UInt16(size)) { Array($0) }
    var bytes: [UInt8] = []
    for word in [Self.version, 0, changeCount] { bytes += withUnsafeBytes(of: word) { Array($0) } }
    bytes += fields
    for word in [frameCount, pageCount, checksum.0, checksum.1, salts.0, salts.1] {
      bytes += withUnsafeBytes(of: word) { Array($0) }
    }
    let sum = bytes.withUnsafeBytes { WALSum.of($0.baseAddress!, 40) }
    for word in [sum.0, sum.1] { bytes += withUnsafeBytes(of: word) { Array($0) } }
    return bytes
  }

  static func == (a: WALIndexHeader, b: WALIndexHeader) -> Bool { a.bytes == b.bytes }
}

/// The checksum of -wal and wal-index.
enum WALSum {
  /// Over words in the machine's order.
  static func of(_ bytes: UnsafeRawPointer, _ count: Int) -> (UInt32, UInt32) {
    var sum: (UInt32, UInt32) = (0, 0)
    add(bytes, count, bigEndianWords: 1.bigEndian == 1, to: &sum)
    return sum
  }

  static func add(_ bytes: UnsafeRawPointer, _ count: Int, bigEndianWords: Bool, to sum: inout (UInt32, UInt32)) {
    var (a, b) = sum
    var at = 0
    while at < count {
      let x = bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)
      let y = bytes.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)
      a = a &+ (bigEndianWords ? UInt32(bigEndian: x) : UInt32(littleEndian: x)) &+ b
      b = b &+ (bigEndianWords ? UInt32(bigEndian: y) : UInt32(littleEndian: y)) &+ a
      at += 8
    }
    sum = (a, b)
  }
}

/// The wal-index of one open database, through the methods of the connection's own file: mapped and locked as SQLite does it.
final class WALIndex {
  static let regionBytes = 32_768
  private static let hashOffset = 16_384
  private static let slotCount = 8192

  enum Lock: CInt { case write = 0, checkpoint = 1, firstReader = 4 }
  /// READ1 to READ4: whoever reads frames holds one of them.
  static let readerLocks: CInt = 4

  private let file: UnsafeMutablePointer<sqlite3_file>
  private let methods: sqlite3_io_methods
  private var regions: [UnsafeMutableRawPointer?] = []

  init(_ file: UnsafeMutablePointer<sqlite3_file>) {
    self.file = file
    methods = file.pointee.pMethods.pointee
  }

  // Locks

  /// - Returns: false where another connection holds it.
  func lock(_ lock: Lock, count: CInt = 1) throws(SQLiteError) -> Bool {
    let code = methods.xShmLock(file, lock.rawValue, count, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE)
    if code == SQLITE_OK { return true }
    if code & 0xFF == SQLITE_BUSY { return false }
    throw SQLiteError(code: code, message: "the wal-index cannot be locked")
  }

  func unlock(_ lock: Lock, count: CInt = 1) {
    _ = methods.xShmLock(file, lock.rawValue, count, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE)
  }

  // Memory

  /// - Precondition: WRITE is held, or the region is known to be there.
  func region(_ index: Int) throws(SQLiteError) -> UnsafeMutableRawPointer {
    while regions.count <= index { regions.append(nil) }
    if let known = regions[index] { return known }
    var found: UnsafeMutableRawPointer?
    let code = methods.xShmMap(file, CInt(index), CInt(Self.regionBytes), 1, &found)
    guard code == SQLITE_OK, let found else { throw SQLiteError(code: code, message: "the wal-index cannot be mapped") }
    regions[index] = found
    return found
  }

  /// - Returns: nil where SQLite has to recover it first.
  func header() throws(SQLiteError) -> WALIndexHeader? {
    let start = try region(0)
    var copies = [UInt8](repeating: 0, count: 2 * WALIndexHeader.byteCount)
    copies.withUnsafeMutableBytes { copies in
      copies.baseAddress!.copyMemory(from: start, byteCount: WALIndexHeader.byteCount)
      barrier()
      (copies.baseAddress! + WALIndexHeader.byteCount).copyMemory(
        from: start + WALIndexHeader.byteCount, byteCount: WALIndexHeader.byteCount)
    }
    return copies.withUnsafeBytes { WALIndexHeader($0.baseAddress!, $0.baseAddress! + WALIndexHeader.byteCount) }
  }

  /// Makes frames visible: readers take the header only when both copies are the same, and look at the first one first.
  func publish(_ header: WALIndexHeader) throws(SQLiteError) {
    let start = try region(0)
    header.bytes.withUnsafeBytes { bytes in
      barrier()
      (start + WALIndexHeader.byteCount).copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
      barrier()
      start.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count)
    }
  }

  private func barrier() { methods.xShmBarrier(file) }

  /// Frames that were copied into the database file.
  func checkpointedFrames() throws(SQLiteError) -> UInt32 { csqlite_load32(try region(0) + 96) }

  /// - Precondition: WRITE, CKPT and all of READ1 to READ4 are held.
  func resetCheckpoint() throws(SQLiteError) {
    let start = try region(0)
    csqlite_store32(start + 96, 0)
    csqlite_store32(start + 128, 0)
    csqlite_store32(start + 104, 0)
    for mark in 2..<5 { csqlite_store32(start + 100 + 4 * mark, .max) }
  }

  // Frames by page

  private static func region(ofFrame frame: Int) -> Int { (frame + 33) / 4096 }
  /// The frame in front of a region's first.
  private static func base(ofRegion region: Int) -> Int { region == 0 ? 0 : 4062 + (region - 1) * 4096 }
  private static func firstSlot(_ page: UInt32) -> Int { Int(page &* 383) & (slotCount - 1) }

  /// - Precondition: WRITE is held, and `frame` is behind the last one that is visible, `visible`.
  func insert(frame: Int, page: UInt32, visible: Int) throws(SQLiteError) {
    let index = Self.region(ofFrame: frame)
    let start = try region(index)
    let pages = start + (index == 0 ? 136 : 0)
    let slots = start + Self.hashOffset
    let place = frame - Self.base(ofRegion: index)
    if place == 1 { memset(pages, 0, Self.regionBytes - (index == 0 ? 136 : 0)) }
    // Left by a writer that did not come to its commit.
    if pages.load(fromByteOffset: 4 * (place - 1), as: UInt32.self) != 0 { try removeFrames(behind: visible) }
    var slot = Self.firstSlot(page)
    var tried = 0
    while slots.load(fromByteOffset: 2 * slot, as: UInt16.self) != 0 {
      slot = (slot + 1) & (Self.slotCount - 1)
      tried += 1
      guard tried <= Self.slotCount else { throw SQLiteError(code: SQLITE_CORRUPT, message: "the wal-index is full") }
    }
    csqlite_store32(pages + 4 * (place - 1), page)
    csqlite_store16(slots + 2 * slot, UInt16(place))
  }

  private func removeFrames(behind visible: Int) throws(SQLiteError) {
    if visible == 0 { return }
    let index = Self.region(ofFrame: visible)
    let start = try region(index)
    let slots = start + Self.hashOffset
    let limit = visible - Self.base(ofRegion: index)
    for slot in 0..<Self.slotCount where Int(slots.load(fromByteOffset: 2 * slot, as: UInt16.self)) > limit {
      csqlite_store16(slots + 2 * slot, 0)
    }
    let rest = start + (index == 0 ? 136 : 0) + 4 * limit
    memset(rest, 0, slots - rest)
  }

  /// The last frame up to `visible` that has a version of `page`.
  ///
  /// - Precondition: WRITE is held.
  func frame(of page: UInt32, visible: Int) throws(SQLiteError) -> Int? {
    guard visible > 0 else { return nil }
    var index = Self.region(ofFrame: visible)
    while index >= 0 {
      let start = try region(index)
      let pages = start + (index == 0 ? 136 : 0)
      let base = Self.base(ofRegion: index)
      var slot = Self.firstSlot(page)
      var found: Int?
      for _ in 0..<Self.slotCount {
        let place = Int(start.load(fromByteOffset: Self.hashOffset + 2 * slot, as: UInt16.self))
        if place == 0 { break }
        let isHere = place <= 4096 && pages.load(fromByteOffset: 4 * (place - 1), as: UInt32.self) == page
        if isHere, base + place <= visible { found = max(found ?? 0, base + place) }
        slot = (slot + 1) & (Self.slotCount - 1)
      }
      if let found { return found }
      index -= 1
    }
    return nil
  }
}
