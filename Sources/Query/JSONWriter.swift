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
    if isArray { output.bytes.append(contentsOf: isFirst ? [0x0A] : [0x2C, 0x0A]) }
    isFirst = false
    for i in 0..<row.columnCount {
      output.bytes.append(contentsOf: prefixes[i])
      switch row.kind(i) {
      case .null: output.bytes.append(contentsOf: "null".utf8)
      case .integer: JSONText.append(row.integer(i), to: &output.bytes)
      case .real: JSONText.append(row.real(i), to: &output.bytes)
      case .text: JSONText.append(stringOrBase64: row.bytes(i), to: &output.bytes)
      case .blob:
        output.bytes.append(contentsOf: #"{"base64":""#.utf8)
        JSONText.append(base64: row.bytes(i), to: &output.bytes)
        output.bytes.append(contentsOf: #""}"#.utf8)
      }
    }
    output.bytes.append(contentsOf: isArray ? [0x7D] : [0x7D, 0x0A])
  }

  func end() throws {
    if isArray { output.bytes.append(contentsOf: isFirst ? [0x5D, 0x0A] : [0x0A, 0x5D, 0x0A]) }
  }
}
