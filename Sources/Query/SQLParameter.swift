/// A value for a named parameter of a statement.
public enum SQLParameter: Sendable, Hashable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
  case blob([UInt8])

  /// A value as it is typed on a command line: a whole number is an INTEGER and a decimal number a REAL, as in SQL; anything in
  /// single quotes is the TEXT between them ('' is one quote), and everything else is TEXT as it stands.
  ///
  /// Only numbers that print as they were typed count as numbers, so an id like 007 or +49 stays a text.
  public init(typed text: String) {
    if let whole = Int64(text), String(whole) == text {
      self = .integer(whole)
    } else if let real = Self.decimal(text) {
      self = .real(real)
    } else if text.count >= 2, text.hasPrefix("'"), text.hasSuffix("'") {
      self = .text(Self.unquoted(text.dropFirst().dropLast()))
    } else {
      self = .text(text)
    }
  }

  private static func decimal(_ text: String) -> Double? {
    let unsigned = text.utf8.first == 0x2D ? text.utf8.dropFirst() : text.utf8[...]
    let parts = unsigned.split(separator: 0x2E, omittingEmptySubsequences: false)
    let areDigits = parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { (0x30...0x39).contains($0) } }
    guard parts.count == 2, areDigits, parts[0].count == 1 || parts[0].first != 0x30 else { return nil }
    return Double(text)
  }

  private static func unquoted(_ text: Substring) -> String {
    var result = ""
    var isEscaped = false
    for character in text {
      if character == "'" && !isEscaped {
        isEscaped = true
        continue
      }
      isEscaped = false
      result.append(character)
    }
    return isEscaped ? result + "'" : result
  }
}
