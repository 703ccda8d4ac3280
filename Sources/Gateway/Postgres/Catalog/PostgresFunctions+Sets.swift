import Query

/// Functions of many rows: aggregates, and those that stand where a table may.
extension PostgresFunctions {
  /// These stand in a select list in Postgres, and give as many rows as they have there.
  static let misplaced: [RowFunction] = [
    ("unnest", nil), ("generate_series", nil), ("generate_subscripts", nil), ("_pg_expandarray", 1),
  ].map {
    RowFunction($0.0, argumentCount: $0.1) { (_) throws(Failure) in
      throw Failure("set-returning functions are supported in FROM only")
    }
  }

  /// Rows that one call may give.
  private static let rowsMax = 100_000

  static let aggregates: [RowAggregate] = [
    RowAggregate("array_agg") { rows in rows.isEmpty ? .null : .text(ArrayText.text(rows.map { $0.first.flatMap(text) })) },
    RowAggregate("pg_ordered_array_agg") { rows in
      rows.isEmpty ? .null : .text(ArrayText.text(sorted(rows, behind: 1).map { $0.first.flatMap(text) }))
    },
    RowAggregate("pg_ordered_string_agg") { rows in
      var result: String?
      // Whoever calls it by its name may leave out what the translation never does.
      for row in sorted(rows, behind: 2) where row.count > 1 {
        guard let part = text(row[0]) else { continue }
        result = result.map { $0 + (text(row[1]) ?? "") + part } ?? part
      }
      return result.map { .text($0) } ?? .null
    },
  ]

  /// Rows by what follows their arguments: a letter for each direction, and the values. NULL is above all, as in Postgres.
  private static func sorted(_ rows: [[SQLParameter]], behind count: Int) -> [[SQLParameter]] {
    guard let first = rows.first, first.count > count, let directions = text(first[count]).map(Array.init) else { return rows }
    return rows.sorted { a, b in
      for (index, direction) in directions.enumerated() where count + 1 + index < min(a.count, b.count) {
        let (left, right) = (a[count + 1 + index], b[count + 1 + index])
        if left == right { continue }
        let isLess = left == .null ? false : right == .null ? true : precedes(left, right)
        return direction == "d" ? !isLess : isLess
      }
      return false
    }
  }

  static let tables: [RowTable] = [
    RowTable(name: "unnest", columns: [("value", "")], arguments: ["array"]) { values in
      guard let array = text(values[0]), let elements = ArrayText.elements(array) else { return [] }
      return elements.map { [$0.map { element in Int64(element).map { .integer($0) } ?? .text(element) } ?? .null] }
    },
    RowTable(name: "generate_series", columns: [("value", "")], arguments: ["start", "stop", "step"]) {
      (values) throws(Failure) in
      if case .text = values[0] { return try times(values) }
      guard let start = number(values[0]), let stop = number(values[1]) else { return [] }
      let step = values[2] == .null ? 1 : number(values[2]) ?? 1
      guard step != 0 else { throw Failure("step size cannot equal zero") }
      return try series(start, stop, step).map { [.integer($0)] }
    },
  ]

  static let keywords = RowTable(
    name: "pg_get_keywords", columns: [("word", "text TEXT"), ("catcode", "char TEXT"), ("catdesc", "text TEXT")]
  ) { _ in
    SQLWords.reserved.sorted().map { [.text($0), .text("R"), .text("reserved")] }
  }

  private static func series(_ start: Int64, _ stop: Int64, _ step: Int64) throws(Failure) -> [Int64] {
    var values: [Int64] = []
    var next = start
    while step > 0 ? next <= stop : next >= stop {
      guard values.count < rowsMax else { throw Failure("a series of more than \(rowsMax) values is out of range") }
      values.append(next)
      let (sum, overflow) = next.addingReportingOverflow(step)
      if overflow { break }
      next = sum
    }
    return values
  }

  private static func times(_ values: [SQLParameter]) throws(Failure) -> [[SQLParameter]] {
    guard let start = milliseconds(values[0]), let stop = milliseconds(values[1]), let text = text(values[2]) else { return [] }
    let step = try interval(text)
    guard step.months == 0, step.milliseconds != 0 else { throw Failure("the step is out of range") }
    return try series(start, stop, step.milliseconds).map { [result($0)] }
  }
}
