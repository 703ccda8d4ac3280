internal import SQLite

/// Rows as an aligned table for people.
///
/// Widths are those of the first rows, which are held back for it; later values that are wider push their line out and are never
/// cut. Control characters are shown escaped, so that data cannot command the terminal. NULL is empty, a BLOB is `X'…'`.
final class TableWriter: RowWriter {
  let output: OutputBuffer
  private var names: [String] = []
  private var held: [[Cell]] = []
  private var heldBytes = 0
  private var widths: [Int]?
  private var rowCount = 0

  private struct Cell {
    var text: [UInt8]
    var isNumber: Bool
    var width: Int
  }

  /// Rows, and bytes of them, that are looked at for the widths.
  private static let heldRowsMax = 500
  private static let heldBytesMax = 1 << 20
  /// Widest column that is padded.
  private static let widthMax = 60

  init(_ output: OutputBuffer) { self.output = output }

  func begin(columns: [String]) throws { names = columns }

  func write(_ row: borrowing ResultRow) throws {
    rowCount += 1
    var cells: [Cell] = []
    for column in 0..<row.columnCount { cells.append(cell(row, column)) }
    if let widths { return line(cells, widths) }
    held.append(cells)
    heldBytes += cells.reduce(0) { $0 + $1.text.count }
    if held.count >= Self.heldRowsMax || heldBytes >= Self.heldBytesMax { try release() }
  }

  func pause() throws {
    // Widths are those of the first rows, and there are none yet.
    if !held.isEmpty { try release() }
    try output.flush()
  }

  func end() throws {
    try release()
    output.bytes.append(contentsOf: "(\(rowCount) row\(rowCount == 1 ? "" : "s"))\n".utf8)
  }

  private func release() throws {
    guard widths == nil else { return }
    let heads = names.map { name in
      var text: [UInt8] = []
      let width = name.utf8.withContiguousStorageIfAvailable { Self.append(UnsafeRawBufferPointer($0), to: &text) }
      return Cell(text: text, isNumber: false, width: width ?? 0)
    }
    var widths = heads.map { min($0.width, Self.widthMax) }
    for row in held {
      for (i, cell) in row.enumerated() { widths[i] = max(widths[i], min(cell.width, Self.widthMax)) }
    }
    self.widths = widths
    line(heads, widths)
    for (i, width) in widths.enumerated() {
      if i > 0 { output.bytes.append(contentsOf: [0x20, 0x20]) }
      output.bytes.append(contentsOf: repeatElement(0x2D, count: width))
    }
    output.bytes.append(0x0A)
    for row in held {
      line(row, widths)
      try output.flushIfFull()
    }
    held = []
  }

  private func line(_ cells: [Cell], _ widths: [Int]) {
    for (i, cell) in cells.enumerated() {
      if i > 0 { output.bytes.append(contentsOf: [0x20, 0x20]) }
      let padding = repeatElement(UInt8(0x20), count: max(0, widths[i] - cell.width))
      if cell.isNumber { output.bytes.append(contentsOf: padding) }
      output.bytes.append(contentsOf: cell.text)
      if !cell.isNumber && i < cells.count - 1 { output.bytes.append(contentsOf: padding) }
    }
    output.bytes.append(0x0A)
  }

  private func cell(_ row: borrowing ResultRow, _ column: Int) -> Cell {
    var text: [UInt8] = []
    switch row.kind(column) {
    case .null: return Cell(text: [], isNumber: false, width: 0)
    case .integer: JSONText.append(row.integer(column), to: &text)
    case .real: SQLText.append(row.real(column), to: &text)
    case .blob:
      SQLText.append(blob: row.bytes(column), to: &text)
      return Cell(text: text, isNumber: false, width: text.count)
    case .text:
      let width = Self.append(row.bytes(column), to: &text)
      return Cell(text: text, isNumber: false, width: width)
    }
    return Cell(text: text, isNumber: true, width: text.count)
  }

  /// Appends text as a terminal may see it and returns how many columns it takes there.
  private static func append(_ utf8: UnsafeRawBufferPointer, to out: inout [UInt8]) -> Int {
    if utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) {
      out.append(contentsOf: utf8)
      return utf8.count
    }
    var width = 0
    for scalar in String(decoding: utf8, as: UTF8.self).unicodeScalars {
      switch scalar.value {
      case 0x09: (width, _) = (width + 2, out.append(contentsOf: "\\t".utf8))
      case 0x0A: (width, _) = (width + 2, out.append(contentsOf: "\\n".utf8))
      case 0x0D: (width, _) = (width + 2, out.append(contentsOf: "\\r".utf8))
      // C0, DEL, C1, and the marks that turn the direction of what follows.
      case 0..<0x20, 0x7F...0x9F, 0x202A...0x202E, 0x2066...0x2069:
        let hex = String(scalar.value, radix: 16)
        out.append(contentsOf: "\\u{\(hex)}".utf8)
        width += hex.utf8.count + 4
      default:
        out.append(contentsOf: UTF8.encode(scalar)!)
        width += self.width(of: scalar)
      }
    }
    return width
  }

  /// Columns a character takes, near enough for alignment.
  private static func width(of scalar: Unicode.Scalar) -> Int {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: break
    }
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
      0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      return 2
    default: return 1
    }
  }
}
