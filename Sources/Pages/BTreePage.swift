/// A page of a table's or an index' b-tree (SQLite's file format, section 1.6), read as far as its cells go.
///
/// Whatever the bytes are, nothing outside of the page is read: what cannot be is left out.
struct BTreePage {
  /// Pages below this one.
  var children: [PageNumber] = []
  /// First pages of what did not fit into cells.
  var overflows: [PageNumber] = []
  /// Where the records of a table's leaf lie, those that fit into it.
  var records: [Range<Int>] = []

  /// - Returns: nil for a page of another kind.
  init?(_ page: UnsafeRawBufferPointer, _ number: PageNumber, usableBytes: Int) {
    let start = number == .first ? DatabaseHeader.byteCount : 0
    let kind = page[start]
    guard [2, 5, 10, 13].contains(kind), usableBytes >= 480 else { return nil }
    let isInterior = kind < 8
    let isTable = kind == 5 || kind == 13
    let pointers = start + (isInterior ? 12 : 8)
    let count = Int(page[start + 3]) << 8 | Int(page[start + 4])
    guard pointers + 2 * count <= usableBytes else { return nil }
    let localMax = isTable ? usableBytes - 35 : (usableBytes - 12) * 64 / 255 - 23
    let localMin = (usableBytes - 12) * 32 / 255 - 23
    for index in 0..<count {
      var at = Int(page[pointers + 2 * index]) << 8 | Int(page[pointers + 2 * index + 1])
      // A cell has four bytes at least, and a varint nine at most.
      guard at >= pointers, at + 4 <= usableBytes else { continue }
      if isInterior {
        children.append(PageNumber(page.word(at: at)))
        at += 4
        if isTable { continue }
      }
      guard let size = Self.varint(page, &at, end: usableBytes) else { continue }
      if isTable, Self.varint(page, &at, end: usableBytes) == nil { continue }
      guard size <= UInt64(Int32.max) else { continue }
      let total = Int(size)
      var local = total
      if total > localMax {
        local = localMin + (total - localMin) % (usableBytes - 4)
        if local > localMax { local = localMin }
        if at + local + 4 <= usableBytes { overflows.append(PageNumber(page.word(at: at + local))) }
      } else if isTable, at + local <= usableBytes {
        records.append(at..<at + local)
      }
    }
    if isInterior { children.append(PageNumber(page.word(at: start + 8))) }
  }

  /// SQLite's varint: most significant bits first, and nine bytes at most.
  static func varint(_ bytes: UnsafeRawBufferPointer, _ at: inout Int, end: Int) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<9 {
      guard at < end else { return nil }
      let byte = bytes[at]
      at += 1
      if index == 8 { return value << 8 | UInt64(byte) }
      value = value << 7 | UInt64(byte & 0x7F)
      if byte < 0x80 { return value }
    }
    return value
  }

  /// A value of a record, as far as it is of use here.
  enum Value: Hashable {
    case integer(Int64)
    case text(String)
    case other
  }

  /// The values of a record (section 2.1); fewer where it is damaged.
  static func values(_ page: UnsafeRawBufferPointer, _ record: Range<Int>) -> [Value] {
    var at = record.lowerBound
    guard let headerSize = varint(page, &at, end: record.upperBound), headerSize <= UInt64(record.count) else { return [] }
    var body = record.lowerBound + Int(headerSize)
    let headerEnd = body
    var values: [Value] = []
    while at < headerEnd, let type = varint(page, &at, end: headerEnd) {
      let sizes = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0]
      let size = type < 12 ? sizes[Int(type)] : Int(clamping: (type - 12) / 2)
      guard size <= record.upperBound - body else { break }
      let bytes = page[body..<body + size]
      switch type {
      case 1...6:
        let negative = bytes.first! & 0x80 != 0
        values.append(.integer(bytes.reduce(negative ? -1 : 0) { $0 << 8 | Int64($1) }))
      case 8: values.append(.integer(0))
      case 9: values.append(.integer(1))
      case 13... where type & 1 == 1: values.append(.text(String(decoding: bytes, as: UTF8.self)))
      default: values.append(.other)
      }
      body += size
    }
    return values
  }
}
