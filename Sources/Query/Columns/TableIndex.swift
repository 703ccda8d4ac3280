internal import Indexes
internal import Model
internal import SQLite

/// An index of a topic's table, as plans see it.
struct TableIndex {
  /// The number of its column in the table.
  var column: Int
  var definition: IndexDefinition

  var name: String { definition.column.name }

  /// How values of the column are compared (datatype3 §4.2).
  private enum Affinity { case none, text, numeric }
  private var affinity: Affinity {
    switch definition.column.definition?.type {
    case .text, .json, .timestamptz: .text
    case .integer, .numeric, .boolean, .real: .numeric
    case .blob, nil: .none
    }
  }

  /// The indexes that are declared for a topic.
  ///
  /// - Parameter columns: what is declared for it.
  static func all(of columns: [DeclaredColumn]) -> [TableIndex] {
    let declared = columns.filter { $0.definition != nil }
    return columns.flatMap { column in
      let number =
        declared.firstIndex(of: column).map { $0 + TopicColumn.count } ?? TopicColumn.names.firstIndex(of: column.name)
      return number.map { number in column.indexes.map { TableIndex(column: number, definition: $0) } } ?? []
    }
  }

  /// One comparison of the column with an argument.
  struct Term: Hashable {
    var comparison: IndexRequest.Operator
    /// The argument is the whole list of an IN.
    var isList: Bool
  }

  /// What to ask the index so that no row is missed that satisfies all of `terms`; nil if it cannot be asked.
  ///
  /// The other side of a comparison may be a column that has an affinity of its own, which changes what is compared, and of which nothing
  /// is known here. So numbers are looked for among texts never, and texts that read as numbers always.
  func probe(_ terms: [Term], _ argument: (Int) -> ArgumentValue) throws(VirtualTableError) -> IndexProbe? {
    var lower: IndexProbe.Bound?
    var upper: IndexProbe.Bound?
    for (index, term) in terms.enumerated() {
      let argument = argument(index)
      if term.isList {
        var values: [IndexValue]? = []
        try argument.forEachMember { member in
          guard let found = self.values(equalTo: member) else { return values = nil }
          values?.append(contentsOf: found)
        }
        return values.map { .anyOf($0) }
      }
      // No comparison with NULL is true.
      if argument.kind == .null { return .anyOf([]) }
      switch term.comparison {
      case .match: return argument.withBytes { String(validating: $0, as: UTF8.self) }.map { .words($0) }
      case .equal: return values(equalTo: argument).map { .anyOf($0) }
      case .less, .lessOrEqual, .greater, .greaterOrEqual:
        // Without one of its bounds a range has more, never less.
        if argument.isIllFormed { continue }
        guard let value = bound(argument) else { return nil }
        switch term.comparison {
        case .less: upper = upper ?? .init(value, isIncluded: false)
        case .lessOrEqual: upper = upper ?? .init(value, isIncluded: true)
        case .greater: lower = lower ?? .init(value, isIncluded: false)
        default: lower = lower ?? .init(value, isIncluded: true)
        }
      case .limit, .offset, .other: break
      }
    }
    if lower == nil, upper == nil { return nil }
    return .range(lower: lower, upper: upper, includesNumbers: affinity != .numeric)
  }

  private func values(equalTo argument: ArgumentValue) -> [IndexValue]? {
    if argument.kind == .null { return [] }
    guard let value = bound(argument) ?? (affinity == .none ? IndexValue(argument) : nil) else { return nil }
    guard affinity == .none, definition.column.definition != nil else {
      if case .integer = value, affinity != .numeric { return nil }
      if case .real = value, affinity != .numeric { return nil }
      return [value]
    }
    // A declared column without affinity may hold numbers, which equal a text where the other side makes texts of them.
    switch value {
    case .text:
      var values = [value]
      argument.withNumericAffinity { if $0.kind != .text, let number = IndexValue($0) { values.append(number) } }
      // '7.0' equals 7 as a number and as no text: numbers are written in one way only, and that is the one looked for.
      return values
    case .blob: return [value]
    default: return nil
    }
  }

  /// What values of the column may be compared with in the order of the index; nil where that is not known.
  private func bound(_ argument: ArgumentValue) -> IndexValue? {
    switch (affinity, argument.kind) {
    case (_, .null): nil
    case (.none, _) where definition.column.definition != nil: nil
    case (.numeric, _): IndexValue(argument)
    case (_, .integer), (_, .real): nil
    default: IndexValue(argument)
    }
  }
}

extension IndexValue {
  /// - Returns: nil for NULL, and for texts that are not UTF-8: mended, they would have another place among texts.
  init?(_ value: ArgumentValue) {
    switch value.kind {
    case .null: return nil
    case .integer: self = .integer(value.int64)
    case .real: self = .real(value.double)
    case .text:
      guard let text = value.withBytes({ String(validating: $0, as: UTF8.self) }) else { return nil }
      self = .text(text)
    case .blob: self = .blob(value.withBytes { [UInt8]($0) })
    }
  }
}

extension ArgumentValue {
  /// A text that is not UTF-8: SQLite's bound above all that begin with a prefix may be one.
  fileprivate var isIllFormed: Bool { kind == .text && withBytes { String(validating: $0, as: UTF8.self) } == nil }
}
