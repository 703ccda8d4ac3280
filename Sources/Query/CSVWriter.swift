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
      name.withUTF8 { Self.append(UnsafeRawBufferPointer($0), to: &output.bytes) }
    }
    output.bytes.append(0x0A)
  }

  func write(_ row: borrowing ResultRow) throws {
    Self.append(row, to: &output.bytes)
  }

  /// One access to the buffer for a row, and not for each byte of it.
  private static func append(_ row: borrowing ResultRow, to out: inout [UInt8]) {
    for i in 0..<row.columnCount {
      if i > 0 { out.append(0x2C) }
      switch row.kind(i) {
      // A line with nothing on it would be no record to most readers.
      case .null: if row.columnCount == 1 { out.append(contentsOf: [0x22, 0x22]) }
      case .integer: JSONText.append(row.integer(i), to: &out)
      case .real: SQLText.append(row.real(i), to: &out)
      case .text: append(row.bytes(i), to: &out)
      case .blob: SQLText.append(blob: row.bytes(i), to: &out)
      }
    }
    out.append(0x0A)
  }

  func end() throws {}

  private static func append(_ text: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    let isPlain = !text.isEmpty && !text.contains { $0 == 0x2C || $0 == 0x22 || $0 == 0x0A || $0 == 0x0D }
    if isPlain {
      out.append(contentsOf: text)
    } else {
      append(quoted: text, to: &out)
    }
  }

  /// Every byte is written twice, and the second one only kept behind a quote: JSON is full of them, and a branch that cannot be foreseen
  /// costs more than a store.
  private static func append(quoted text: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.append(addingCapacity: 2 * text.count + 3) { span in
      span.withUnsafeMutableBufferPointer { buffer, count in
        var end = buffer.baseAddress! + count
        end.pointee = 0x22
        end += 1
        for byte in text {
          end[0] = byte
          end[1] = byte
          end += byte == 0x22 ? 2 : 1
        }
        end.pointee = 0x22
        count = end + 1 - buffer.baseAddress!
      }
    }
  }
}

/// Values as SQL writes them.
public enum SQLText {
  private static let hexDigits = Array("0123456789ABCDEF".utf8)

  public static func append(blob: UnsafeRawBufferPointer, to out: inout [UInt8]) {
    out.append(contentsOf: [0x58, 0x27])
    for byte in blob {
      out.append(hexDigits[Int(byte >> 4)])
      out.append(hexDigits[Int(byte & 15)])
    }
    out.append(0x27)
  }

  /// The shortest decimal number that reads back as `real`; infinities as `Inf` and `-Inf`.
  public static func append(_ real: Double, to out: inout [UInt8]) {
    out.append(contentsOf: (real.isInfinite ? (real < 0 ? "-Inf" : "Inf") : real.description).utf8)
  }
}
