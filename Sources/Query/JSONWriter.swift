internal import SQLite

/// Rows as JSON objects: one to a line (JSON Lines), or as one array.
///
/// INTEGER and REAL are numbers, TEXT a string, NULL null, and a BLOB, or a TEXT that is not UTF-8, is `{"base64":"…"}`.
/// Names that occur twice get a number (`offset`, `offset_2`), because readers of JSON keep only one of equal names.
final class JSONWriter: RowWriter {
  let output: OutputBuffer
  private let isArray: Bool
  /// `{"name":` and `,"name":` of all columns, one behind the other, ready to be copied.
  private var prefixes: [UInt8] = []
  /// Where each of them ends.
  private var prefixEnds: [Int] = []
  private var isFirst = true
  /// Of the members, each once.
  private(set) var names: [String] = []

  init(_ output: OutputBuffer, isArray: Bool) {
    self.output = output
    self.isArray = isArray
  }

  func begin(columns: [String]) throws {
    var seen = Set(columns)
    var met: Set<String> = []
    for name in columns {
      var unique = name
      var number = 2
      if met.contains(name) {
        repeat {
          unique = "\(name)_\(number)"
          number += 1
        } while !seen.insert(unique).inserted
      }
      met.insert(unique)
      names.append(unique)
      prefixes.append(prefixes.isEmpty ? 0x7B : 0x2C)
      JSONText.append(string: unique, to: &prefixes)
      prefixes.append(0x3A)
      prefixEnds.append(prefixes.count)
    }
    if isArray { output.bytes.append(0x5B) }
  }

  func write(_ row: borrowing ResultRow) throws {
    append(row, to: &output.bytes)
    isFirst = false
  }

  /// One access to the buffer for a row, and not for each piece of it.
  private func append(_ row: borrowing ResultRow, to out: inout [UInt8]) {
    if isArray { out.append(contentsOf: isFirst ? [0x0A] : [0x2C, 0x0A]) }
    prefixes.withUnsafeBufferPointer { prefixes in
      var start = 0
      for (i, end) in prefixEnds.enumerated() {
        out.append(contentsOf: UnsafeBufferPointer(rebasing: prefixes[start..<end]))
        start = end
        Self.append(row, i, to: &out)
      }
    }
    out.append(0x7D)
    if !isArray { out.append(0x0A) }
  }

  @inline(__always)
  private static func append(_ row: borrowing ResultRow, _ column: Int, to out: inout [UInt8]) {
    switch row.kind(column) {
    case .null: out.append(contentsOf: "null".utf8)
    case .integer: JSONText.append(row.integer(column), to: &out)
    case .real: JSONText.append(row.real(column), to: &out)
    case .text: JSONText.append(stringOrBase64: row.bytes(column), to: &out)
    case .blob:
      out.append(contentsOf: #"{"base64":""#.utf8)
      JSONText.append(base64: row.bytes(column), to: &out)
      out.append(contentsOf: #""}"#.utf8)
    }
  }

  func end() throws {
    if isArray { output.bytes.append(contentsOf: isFirst ? [0x5D, 0x0A] : [0x0A, 0x5D, 0x0A]) }
  }
}
