internal import SQLite

/// Rows as CSV: a header line, LF, quoting by RFC 4180.
///
/// NULL is an empty field and an empty TEXT is `""`. A BLOB is written as in SQL, `X'…'`.
final class CSVWriter: RowWriter {
  let output: OutputBuffer
  init(_ output: OutputBuffer) { self.output = output }

  func begin(columns: [String]) throws {
    for (i, name) in columns.enumerated() {
      if i > 0 { output.bytes.append(0x2C) }
      var name = name
      name.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }
    output.bytes.append(0x0A)
  }

  func write(_ row: borrowing ResultRow) throws {
    for i in 0..<row.columnCount {
      if i > 0 { output.bytes.append(0x2C) }
      switch row.kind(i) {
      // A line with nothing on it would be no record to most readers.
      case .null: if row.columnCount == 1 { output.bytes.append(contentsOf: [0x22, 0x22]) }
      case .integer: JSONText.append(row.integer(i), to: &output.bytes)
      case .real: SQLText.append(row.real(i), to: &output.bytes)
      case .text: append(row.bytes(i))
      case .blob: SQLText.append(blob: row.bytes(i), to: &output.bytes)
      }
    }
    output.bytes.append(0x0A)
  }

  func end() throws {}

  private func append(_ text: UnsafeRawBufferPointer) {
    let isPlain = !text.isEmpty && !text.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
    if isPlain {
      output.bytes.append(contentsOf: text)
      return
    }
    Self.append(quoted: text, to: &output.bytes)
  }

  /// In runs from quote to quote: JSON, which is full of them, would otherwise be written byte by byte.
  private static func append(quoted text: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.append(0x22)
    var start = 0
    for i in 0..<text.count where text[i] == 0x22 {
      out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...i]))
      // The quote again, as the first byte of the next run.
      start = i
    }
    out.append(contentsOf: UnsafeRawBufferPointer(rebasing: text[start...]))
    out.append(0x22)
  }
}

/// Values as SQL writes them.
enum SQLText {
  private static let hexDigits = Array("0123456789ABCDEF".utf8)

  static func append(blob: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.append(contentsOf: [0x58, 0x27])
    for byte in blob {
      out.append(hexDigits[Int(byte >> 4)])
      out.append(hexDigits[Int(byte & 15)])
    }
    out.append(0x27)
  }

  /// The shortest decimal number that reads back as `real`; infinities as `Inf` and `-Inf`.
  static func append(_ real: Double, to out: inout [UInt8]) {
    out.append(contentsOf: (real.isInfinite ? (real < 0 ? "-Inf" : "Inf") : real.description).utf8)
  }
}
