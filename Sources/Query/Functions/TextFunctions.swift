internal import SQLite

/// `instr`, `replace` and `trim` in time linear in their arguments.
///
/// SQLite's own compare at every place: two texts of some megabytes keep a thread for hours, within one instruction of its machine, where
/// nothing can stop it. These answer the same, by the C library's search.
enum TextFunctions {
  static func register(on connection: Connection, valueBytes: Int) throws(SQLiteError) {
    try connection.registerFunction("instr", argumentCount: 2) { (arguments, result) throws(VirtualTableError) in
      guard arguments[0].kind != .null, arguments[1].kind != .null else { return result.setNull() }
      let areBlobs = arguments[0].kind == .blob && arguments[1].kind == .blob
      arguments[0].withBytes { text in
        arguments[1].withBytes { wanted in
          guard let place = text.firstPlace(of: wanted) else { return result.set(Int64(0)) }
          // Texts are counted in characters.
          let before = UnsafeRawBufferPointer(rebasing: text[..<place])
          result.set(Int64(1 + (areBlobs ? before.count : before.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) })))
        }
      }
    }
    try connection.registerFunction("replace", argumentCount: 3) { (arguments, result) throws(VirtualTableError) in
      for i in 0..<3 where arguments[i].kind == .null { return result.setNull() }
      var out: [UInt8]? = []
      arguments[0].withBytes { text in
        arguments[1].withBytes { wanted in
          arguments[2].withBytes { other in
            var rest = text
            while !wanted.isEmpty, let place = rest.firstPlace(of: wanted) {
              out?.append(contentsOf: rest[..<place])
              out?.append(contentsOf: other)
              rest = UnsafeRawBufferPointer(rebasing: rest[(place + wanted.count)...])
              if out?.count ?? 0 > valueBytes { return out = nil }
            }
            out?.append(contentsOf: rest)
          }
        }
      }
      guard let out, out.count <= valueBytes else { throw .tooBig }
      out.withUnsafeBytes { result.setText($0) }
    }
    for (name, fromStart, fromEnd) in [("trim", true, true), ("ltrim", true, false), ("rtrim", false, true)] {
      for count in [1, 2] {
        try connection.registerFunction(name, argumentCount: count) { (arguments, result) throws(VirtualTableError) in
          for i in 0..<count where arguments[i].kind == .null { return result.setNull() }
          let set: Set<UInt32> = count == 1 ? [0x20] : arguments[1].withBytes { characters($0) }
          arguments[0].withBytes { trim($0, set, fromStart, fromEnd, result) }
        }
      }
    }
  }

  /// The bytes of each character as one number: what is no UTF-8 counts byte by byte, near enough for a set.
  private static func characters(_ text: UnsafeRawBufferPointer) -> Set<UInt32> {
    var set: Set<UInt32> = []
    var i = 0
    while i < text.count {
      let length = length(of: text, at: i)
      set.insert(number(text, i, length))
      i += length
    }
    return set
  }

  private static func length(of text: UnsafeRawBufferPointer, at start: Int) -> Int {
    var end = start + 1
    if text[start] >= 0xC0 { while end < text.count, end - start < 4, text[end] & 0xC0 == 0x80 { end += 1 } }
    return end - start
  }

  private static func number(_ text: UnsafeRawBufferPointer, _ start: Int, _ length: Int) -> UInt32 {
    text[start..<start + length].reduce(0) { $0 << 8 | UInt32($1) }
  }

  private static func trim(
    _ text: UnsafeRawBufferPointer, _ set: Set<UInt32>, _ fromStart: Bool, _ fromEnd: Bool, _ result: ResultContext
  ) {
    var low = 0
    var high = text.count
    while fromStart, low < high {
      let length = length(of: text, at: low)
      guard set.contains(number(text, low, length)) else { break }
      low += length
    }
    while fromEnd, high > low {
      var start = high - 1
      while start > low, high - start < 4, text[start] & 0xC0 == 0x80 { start -= 1 }
      guard set.contains(number(text, start, high - start)) else { break }
      high = start
    }
    result.setText(UnsafeRawBufferPointer(rebasing: text[low..<high]))
  }
}
