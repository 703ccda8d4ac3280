/// Columns of text under a header line, as wide as they need to be.
struct TextTable {
  enum Alignment { case left, right }

  private let columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: [(String, Alignment)]) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

  mutating func row(_ cells: String...) {
    precondition(cells.count == columns.count, "a row has as many cells as there are columns")
    rows.append(cells)
  }

  /// The table, every line ended by LF.
  var text: String {
    var widths = columns.map { $0.title.count }
    for row in rows { for (i, cell) in row.enumerated() { widths[i] = max(widths[i], cell.count) } }
    var text = ""
    for row in [columns.map(\.title)] + rows {
      var line = ""
      for (i, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[i] - cell.count)
        line += (i > 0 ? "  " : "") + (columns[i].alignment == .right ? padding + cell : cell + padding)
      }
      while line.last == " " { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
