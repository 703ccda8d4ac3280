public import Model

/// What one index is an index of.
public struct IndexDefinition: Hashable, Sendable {
  public enum Kind: String, Sendable {
    /// By value.
    case values
    /// By the words in it.
    case words
  }

  public var column: DeclaredColumn
  public var kind: Kind

  public init(column: DeclaredColumn, kind: Kind) {
    self.column = column
    self.kind = kind
  }

  /// What must be the same for an index to count: how values are computed, and their type. The column's name is not in it.
  ///
  /// Raise the number in front when the same expression gives other values than before.
  public var text: String {
    let source = column.definition.map { "\($0.type.rawValue)\n\($0.expression)" } ?? "\n\(column.name)"
    return "1 \(kind.rawValue) \(source)"
  }

  /// The type that values are compared as, in SQL; nothing for columns that are what their bytes are.
  var declaredType: String { column.definition?.type.declaration ?? "" }
}

extension DeclaredColumn {
  /// The indexes it asks for.
  public var indexes: [IndexDefinition] {
    (isIndexed ? [IndexDefinition(column: self, kind: .values)] : [])
      + (isFullText ? [IndexDefinition(column: self, kind: .words)] : [])
  }
}

/// A value that is looked for.
public enum IndexValue: Hashable, Sendable {
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])
}

/// What is asked of an index. It may be more than what a query wants, never less: each record that comes of it is judged again.
public enum IndexProbe: Hashable, Sendable {
  case anyOf([IndexValue])
  /// - Parameter includesNumbers: a text above an upper bound of text is among them where it reads as a number.
  case range(lower: Bound?, upper: Bound?, includesNumbers: Bool)
  /// A query of FTS5.
  case words(String)

  public struct Bound: Hashable, Sendable {
    public var value: IndexValue
    public var isIncluded: Bool

    public init(_ value: IndexValue, isIncluded: Bool) {
      self.value = value
      self.isIncluded = isIncluded
    }
  }
}

/// Why an index gave no answer. Nobody's question fails for it: what it covers is scanned.
public enum IndexError: Error, Sendable {
  /// A page does not verify, or is no page of an index.
  case damaged(String)
  /// It is not there, not of this log, or not of this definition.
  case notUsable
  /// Whoever asks wanted no more.
  case stopped
  case unavailable(String)
}
