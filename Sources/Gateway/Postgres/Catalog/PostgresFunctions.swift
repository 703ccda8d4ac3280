import Glibc
import Query

/// Functions that Postgres has and SQLite has not, and those that the translation of casts and operators calls.
enum PostgresFunctions {
  typealias Failure = RowFunction.Failure

  /// The SQLSTATE of what a function here said.
  static func code(of message: String) -> SQLState? {
    if message.hasPrefix("invalid input syntax for type time") || message.hasPrefix("invalid input syntax for type date") {
      return .invalidDatetime
    }
    if message.hasPrefix("invalid input syntax") { return .invalidTextRepresentation }
    if message.hasPrefix("set-returning functions") || message.hasPrefix(noNumber) { return .featureNotSupported }
    if message.contains("out of range") { return .numericOutOfRange }
    if message.hasPrefix("time zone") || message.hasPrefix("unit ") { return .invalidParameterValue }
    return nil
  }

  static let all: [RowFunction] = casts + times + texts + arrays + misplaced

  // Casts

  private static let casts: [RowFunction] = [
    RowFunction("pg_int2", argumentCount: 1) { (values) throws(Failure) in try integer(values[0], .int2) },
    RowFunction("pg_int4", argumentCount: 1) { (values) throws(Failure) in try integer(values[0], .int4) },
    RowFunction("pg_int8", argumentCount: 1) { (values) throws(Failure) in try integer(values[0], .int8) },
    RowFunction("pg_float8", argumentCount: 1) { (values) throws(Failure) in
      switch values[0] {
      case .null, .real: values[0]
      case .integer(let number): .real(Double(number))
      case .text(let text): try parse(text, .float8)
      case .blob: throw Failure("invalid input syntax for type double precision: a BLOB")
      }
    },
    RowFunction("pg_numeric", argumentCount: 1) { (values) throws(Failure) in
      switch values[0] {
      case .text(let text): try parse(text, .numeric)
      case .blob: throw Failure("invalid input syntax for type numeric: a BLOB")
      default: values[0]
      }
    },
    RowFunction("pg_bool", argumentCount: 1) { (values) throws(Failure) in
      switch values[0] {
      case .null: .null
      case .integer(let number): .integer(number == 0 ? 0 : 1)
      case .text(let text): try parse(text, .bool)
      case .real, .blob: throw Failure("invalid input syntax for type boolean")
      }
    },
    RowFunction("pg_bytea", argumentCount: 1) { (values) throws(Failure) in
      if case .text(let text) = values[0] { try parse(text, .bytea) } else { values[0] }
    },
  ]

  private static func parse(_ text: String, _ type: PostgresType) throws(Failure) -> SQLParameter {
    do throws(PostgresError) { return try ParameterReader.parse(text, as: type) } catch { throw Failure(error.message) }
  }

  private static func integer(_ value: SQLParameter, _ type: PostgresType) throws(Failure) -> SQLParameter {
    switch value {
    case .null: return .null
    case .text(let text): return try parse(text, type)
    case .blob: throw Failure("invalid input syntax for type \(type.sqlName): a BLOB")
    case .integer(let number): return try parse(String(number), type)
    case .real(let number):
      guard let whole = Int64(exactly: number.rounded(.toNearestOrEven)) else { throw Failure("\(type.sqlName) out of range") }
      return try parse(String(whole), type)
    }
  }

  // Texts

  static func text(_ value: SQLParameter) -> String? {
    switch value {
    case .null, .blob: nil
    case .integer(let number): String(number)
    case .real(let number): ValueWriter.floatText(number)
    case .text(let text): text
    }
  }

  static func number(_ value: SQLParameter) -> Int64? {
    switch value {
    case .integer(let number): number
    case .real(let number): Int64(exactly: number.rounded(.towardZero))
    case .text(let text): Int64(text)
    default: nil
    }
  }

  private static func bounded(_ count: Int64) throws(Failure) -> Int {
    guard count <= 1 << 20 else { throw Failure("the length \(count) is out of range") }
    return Int(max(0, count))
  }

  private static let texts: [RowFunction] = [
    RowFunction("pg_left", argumentCount: 2) { values in
      guard let text = text(values[0]), let count = number(values[1]) else { return .null }
      return .text(
        count < 0 ? String(text.dropLast(Int(clamping: count.magnitude))) : String(text.prefix(Int(clamping: count))))
    },
    RowFunction("pg_right", argumentCount: 2) { values in
      guard let text = text(values[0]), let count = number(values[1]) else { return .null }
      return .text(
        count < 0 ? String(text.dropFirst(Int(clamping: count.magnitude))) : String(text.suffix(Int(clamping: count))))
    },
    RowFunction("concat", argumentCount: nil) { values in .text(values.compactMap(text).joined()) },
    RowFunction("concat_ws", argumentCount: nil) { values in
      guard let first = values.first, let separator = text(first) else { return .null }
      return .text(values.dropFirst().compactMap(text).joined(separator: separator))
    },
    RowFunction("greatest", argumentCount: nil) { values in values.max(by: precedes) ?? .null },
    RowFunction("least", argumentCount: nil) { values in values.filter { $0 != .null }.min(by: precedes) ?? .null },
    RowFunction("split_part", argumentCount: 3) { values in
      guard let text = text(values[0]), let separator = PostgresFunctions.text(values[1]), let index = number(values[2]) else {
        return .null
      }
      let parts =
        separator.isEmpty ? [text] : text.split(separator: separator, omittingEmptySubsequences: false).map(String.init)
      let place = index < 0 ? parts.count + Int(clamping: index) : Int(clamping: index) - 1
      return .text(parts.indices.contains(place) ? parts[place] : "")
    },
    RowFunction("initcap", argumentCount: 1) { values in
      guard let text = text(values[0]) else { return .null }
      var isStart = true
      return .text(
        String(
          text.flatMap { character -> String in
            defer { isStart = !(character.isLetter || character.isNumber) }
            return isStart ? character.uppercased() : character.lowercased()
          }))
    },
    RowFunction("reverse", argumentCount: 1) { values in text(values[0]).map { .text(String($0.reversed())) } ?? .null },
    RowFunction("repeat", argumentCount: 2) { (values) throws(Failure) in
      guard let text = text(values[0]), let count = number(values[1]) else { return .null }
      _ = try bounded(Int64(text.utf8.count).multipliedReportingOverflow(by: max(0, count)).partialValue)
      return .text(String(repeating: text, count: try bounded(count)))
    },
    RowFunction("lpad", argumentCount: nil) { (values) throws(Failure) in try pad(values, atStart: true) },
    RowFunction("rpad", argumentCount: nil) { (values) throws(Failure) in try pad(values, atStart: false) },
    RowFunction("starts_with", argumentCount: 2) { values in
      guard let text = text(values[0]), let prefix = PostgresFunctions.text(values[1]) else { return .null }
      return .integer(text.utf8.starts(with: prefix.utf8) ? 1 : 0)
    },
    RowFunction("quote_ident", argumentCount: 1) { values in
      guard let name = text(values[0]) else { return .null }
      let isPlain = name.utf8.first.map { ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x5F } ?? false
      let isWord = name.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5F }
      return .text(isPlain && isWord && !SQLWords.reserved.contains(name) ? name : SQLTranslator.quoted(name))
    },
    RowFunction("quote_literal", argumentCount: 1) { values in text(values[0]).map { .text(SQLTranslator.literal($0)) } ?? .null
    },
  ]

  private static func pad(_ values: [SQLParameter], atStart: Bool) throws(Failure) -> SQLParameter {
    guard values.count > 1, let text = text(values[0]), let length = number(values[1]) else { return .null }
    let filler = values.count > 2 ? PostgresFunctions.text(values[2]) ?? " " : " "
    let missing = try bounded(length) - text.count
    if missing <= 0 || filler.isEmpty { return .text(String(text.prefix(Int(max(0, length))))) }
    let padding = String(String(repeating: filler, count: missing / filler.count + 1).prefix(missing))
    return .text(atStart ? padding + text : text + padding)
  }

  /// SQLite's order of values of several types.
  static func precedes(_ a: SQLParameter, _ b: SQLParameter) -> Bool {
    func rank(_ value: SQLParameter) -> Int {
      switch value {
      case .null: 0
      case .integer, .real: 1
      case .text: 2
      case .blob: 3
      }
    }
    switch (a, b) {
    case (.integer(let a), .integer(let b)): return a < b
    case (.integer(let a), .real(let b)): return Double(a) < b
    case (.real(let a), .integer(let b)): return a < Double(b)
    case (.real(let a), .real(let b)): return a < b
    case (.text(let a), .text(let b)): return a.utf8.lexicographicallyPrecedes(b.utf8)
    case (.blob(let a), .blob(let b)): return a.lexicographicallyPrecedes(b)
    default: return rank(a) < rank(b)
    }
  }

  // Arrays

  private static let arrays: [RowFunction] = [
    RowFunction("pg_array", argumentCount: nil) { values in .text(ArrayText.text(values.map(text))) },
    RowFunction("pg_array_json", argumentCount: 1) { values in
      // Numbers stand in it twice, as what they are and as their text: elements have no type of their own.
      guard let array = text(values[0]), let elements = ArrayText.elements(array) else { return .text("[]") }
      let items = elements.compactMap(\.self).flatMap { element -> [String] in
        let isNumber = Int64(element).map { String($0) == element } ?? false
        return isNumber ? [JSONText.string(element), element] : [JSONText.string(element)]
      }
      return .text("[\(items.joined(separator: ","))]")
    },
    RowFunction("pg_subscript", argumentCount: 2) { values in
      guard let array = text(values[0]), let index = number(values[1]), let elements = ArrayText.elements(array) else {
        return .null
      }
      // Vectors count from 0, arrays from 1.
      let place = array.hasPrefix("{") ? max(0, Int(clamping: index)) - 1 : Int(clamping: index)
      guard elements.indices.contains(place), let element = elements[place] else { return .null }
      return Int64(element).map(SQLParameter.integer) ?? .text(element)
    },
    RowFunction("string_to_array", argumentCount: nil) { values in
      guard values.count > 1, let text = text(values[0]) else { return .null }
      guard let separator = PostgresFunctions.text(values[1]) else { return .text(ArrayText.text(text.map { String($0) })) }
      if text.isEmpty { return .text("{}") }
      let parts =
        separator.isEmpty ? [text] : text.split(separator: separator, omittingEmptySubsequences: false).map(String.init)
      return .text(ArrayText.text(parts))
    },
    RowFunction("parse_ident", argumentCount: nil) { (values) throws(Failure) in
      guard let first = values.first, let text = text(first) else { return .null }
      guard let tokens = try? SQLLexer.tokens(text) else { throw Failure("string is not a valid identifier: \"\(text)\"") }
      let names: [String] = tokens.compactMap { SQLNode.token($0).name }
      return .text(ArrayText.text(names))
    },
    RowFunction("array_to_string", argumentCount: nil) { values in
      guard values.count > 1, let array = text(values[0]), let elements = ArrayText.elements(array) else { return .null }
      let null = values.count > 2 ? text(values[2]) : nil
      return .text(elements.compactMap { $0 ?? null }.joined(separator: text(values[1]) ?? ""))
    },
    RowFunction("array_length", argumentCount: 2) { values in
      guard let array = text(values[0]), let elements = ArrayText.elements(array), !elements.isEmpty else { return .null }
      return .integer(Int64(elements.count))
    },
    RowFunction("array_upper", argumentCount: 2) { values in
      guard let array = text(values[0]), let elements = ArrayText.elements(array), !elements.isEmpty else { return .null }
      return .integer(Int64(elements.count))
    },
    RowFunction("array_lower", argumentCount: 2) { values in text(values[0]) == nil ? .null : .integer(1) },
    RowFunction("cardinality", argumentCount: 1) { values in
      text(values[0]).flatMap(ArrayText.elements).map { .integer(Int64($0.count)) } ?? .null
    },
    RowFunction("pg_field", argumentCount: 2) { _ in .null },
  ]
}
