internal import SQLite

/// Rows as JSON objects: one to a line (JSON Lines), or as one array.
///
/// INTEGER and REAL are numbers, TEXT a string, NULL null, and a BLOB, or a TEXT that is not UTF-8, is `{"base64":"…"}`.
/// Names that occur twice get a number (`offset`, `offset_2`), because readers of JSON keep only one of equal names.
final class JSONWriter: RowWriter {
  let output: OutputBuffer
  private let isArray: Bool
  /// `{"name":` and `,"name":`, ready to be copied.
  private var prefixes: [[UInt8]] = []
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
      var prefix: [UInt8] = prefixes.isEmpty ? [0x7B] : [0x2C]
      JSONText.append(string: unique, to: &prefix)
      prefix.append(0x3A)
      prefixes.append(prefix)
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
    for i in 0..<row.columnCount {
      out.append(contentsOf: prefixes[i])
      switch row.kind(i) {
      case .null: out.append(contentsOf: "null".utf8)
      case .integer: JSONText.append(row.integer(i), to: &out)
      case .real: JSONText.append(row.real(i), to: &out)
      case .text: JSONText.append(stringOrBase64: row.bytes(i), to: &out)
      case .blob:
        out.append(contentsOf: #"{"base64":""#.utf8)
        JSONText.append(base64: row.bytes(i), to: &out)
        out.append(contentsOf: #""}"#.utf8)
      }
    }
    out.append(contentsOf: isArray ? [0x7D] : [0x7D, 0x0A])
  }

  func end() throws {
    if isArray { output.bytes.append(contentsOf: isFirst ? [0x5D, 0x0A] : [0x0A, 0x5D, 0x0A]) }
  }
}
