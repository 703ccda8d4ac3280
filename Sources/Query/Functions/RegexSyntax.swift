/// A regular expression as a tree, read from its text.
///
/// The usual syntax without what cannot be matched in linear time (look-around, back references): literals, `.`, classes
/// (`[a-z]`, `[^…]`, `\d \w \s` and `\D \W \S`, POSIX names), groups, `|`, `* + ? {n,m}` (also lazy: who matches does not change by it),
/// `^ $ \b \B`, and `(?i)` at the start. Classes and case are ASCII's; `.` and negated classes take whole characters.
indirect enum RegexNode {
  case empty
  /// One character out of ranges of Unicode scalar values, ascending and apart.
  case scalars([ClosedRange<UInt32>])
  case sequence([RegexNode])
  case choice([RegexNode])
  /// `upTo` nil: without bound.
  case loop(RegexNode, from: Int, upTo: Int?)
  case assertion(RegexAssertion)
}

enum RegexAssertion: UInt8 { case start, end, boundary, noBoundary }

/// What is wrong with a regular expression, in words for who wrote it.
struct RegexError: Error { var message: String }

struct RegexParser {
  /// Groups within groups: the parser and the compiler recur.
  private static let depthMax = 50
  static let repetitionMax = 1000

  private let text: [Unicode.Scalar]
  private var position = 0
  private var depth = 0
  private var ignoresCase = false

  static func parse(_ pattern: String) throws(RegexError) -> RegexNode {
    var parser = RegexParser(text: Array(pattern.unicodeScalars))
    if parser.take("(?i)") { parser.ignoresCase = true }
    let node = try parser.choice()
    if parser.position < parser.text.count { throw RegexError(message: "a ) closes nothing") }
    return node
  }

  private init(text: [Unicode.Scalar]) { self.text = text }

  private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

  private mutating func take(_ expected: String) -> Bool {
    let expected = Array(expected.unicodeScalars)
    guard text.count - position >= expected.count, text[position..<position + expected.count].elementsEqual(expected) else {
      return false
    }
    position += expected.count
    return true
  }

  private mutating func choice() throws(RegexError) -> RegexNode {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.depthMax else { throw RegexError(message: "more than \(Self.depthMax) groups within each other") }
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(RegexError) -> RegexNode {
    var items: [RegexNode] = []
    while let scalar = next, scalar != "|", scalar != ")" { items.append(try repeated(try item())) }
    return items.count == 1 ? items[0] : items.isEmpty ? .empty : .sequence(items)
  }

  private mutating func repeated(_ item: RegexNode) throws(RegexError) -> RegexNode {
    var node = item
    while true {
      if take("*") {
        node = .loop(node, from: 0, upTo: nil)
      } else if take("+") {
        node = .loop(node, from: 1, upTo: nil)
      } else if take("?") {
        node = .loop(node, from: 0, upTo: 1)
      } else if let bounds = try bounds() {
        node = .loop(node, from: bounds.from, upTo: bounds.upTo)
      } else {
        return node
      }
      _ = take("?")
    }
  }

  /// `{2}`, `{2,}` or `{2,5}`; a brace that is none of these is a literal.
  private mutating func bounds() throws(RegexError) -> (from: Int, upTo: Int?)? {
    let start = position
    guard take("{"), let from = number() else {
      position = start
      return nil
    }
    var upTo: Int? = from
    if take(",") { upTo = number() }
    guard take("}") else {
      position = start
      return nil
    }
    if let upTo, upTo < from { throw RegexError(message: "{\(from),\(upTo)} runs backwards") }
    guard max(from, upTo ?? 0) <= Self.repetitionMax else {
      throw RegexError(message: "more than \(Self.repetitionMax) repetitions")
    }
    return (from, upTo)
  }

  private mutating func number() -> Int? {
    var value: Int?
    while let digit = next.flatMap({ $0.isASCII ? Int(String($0)) : nil }), value ?? 0 <= 100_000 {
      value = (value ?? 0) * 10 + digit
      position += 1
    }
    return value
  }

  private mutating func item() throws(RegexError) -> RegexNode {
    let scalar = text[position]
    position += 1
    switch scalar {
    case "^": return .assertion(.start)
    case "$": return .assertion(.end)
    case ".": return .scalars(RegexClass.anyButNewline)
    case "(":
      if take("?") {
        guard take(":") else { throw RegexError(message: "(? is understood as (?:…) and, at the start, (?i) only") }
      }
      let node = try choice()
      guard take(")") else { throw RegexError(message: "a ( is not closed") }
      return node
    case "[": return .scalars(try bracket())
    case "\\": return try escape()
    case "*", "+", "?": throw RegexError(message: "\(scalar) repeats nothing")
    default: return .scalars(literal(scalar))
    }
  }

  private func literal(_ scalar: Unicode.Scalar) -> [ClosedRange<UInt32>] {
    let ranges = [scalar.value...scalar.value]
    return ignoresCase ? RegexClass.withBothCases(ranges) : ranges
  }

  private mutating func escape() throws(RegexError) -> RegexNode {
    guard let scalar = next else { throw RegexError(message: "a \\ stands at the end") }
    if scalar == "b" || scalar == "B" {
      position += 1
      return .assertion(scalar == "b" ? .boundary : .noBoundary)
    }
    return .scalars(try escapedClass())
  }

  /// What follows a backslash, as a class.
  private mutating func escapedClass() throws(RegexError) -> [ClosedRange<UInt32>] {
    guard let scalar = next else { throw RegexError(message: "a \\ stands at the end") }
    position += 1
    switch scalar {
    case "d": return RegexClass.digits
    case "w": return RegexClass.word
    case "s": return RegexClass.space
    case "D": return RegexClass.inverted(RegexClass.digits)
    case "W": return RegexClass.inverted(RegexClass.word)
    case "S": return RegexClass.inverted(RegexClass.space)
    case "n": return [10...10]
    case "r": return [13...13]
    case "t": return [9...9]
    case "f": return [12...12]
    case "v": return [11...11]
    case "x": return try hexadecimal(digits: 2)
    case "u": return try hexadecimal(digits: 4)
    default:
      guard !scalar.properties.isAlphabetic, !("0"..."9").contains(scalar) else {
        throw RegexError(message: "\\\(scalar) is not understood")
      }
      return literal(scalar)
    }
  }

  private mutating func hexadecimal(digits: Int) throws(RegexError) -> [ClosedRange<UInt32>] {
    guard text.count - position >= digits else { throw RegexError(message: "a hexadecimal number is too short") }
    let number = String(String.UnicodeScalarView(text[position..<position + digits]))
    guard let value = UInt32(number, radix: 16), let scalar = Unicode.Scalar(value) else {
      throw RegexError(message: "\(number) is no character")
    }
    position += digits
    return literal(scalar)
  }

  private mutating func bracket() throws(RegexError) -> [ClosedRange<UInt32>] {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    var isFirst = true
    while let scalar = next, scalar != "]" || isFirst {
      isFirst = false
      if take("[:") {
        ranges += try posix()
        continue
      }
      position += 1
      var low = scalar.value
      if scalar == "\\" {
        let set = try escapedClass()
        guard set.count == 1, set[0].count == 1 else {
          ranges += set
          continue
        }
        low = set[0].lowerBound
      }
      guard next == "-", position + 1 < text.count, text[position + 1] != "]" else {
        ranges.append(low...low)
        continue
      }
      position += 1
      var high = text[position].value
      position += 1
      if high == 0x5C {
        let set = try escapedClass()
        guard set.count == 1, set[0].count == 1 else { throw RegexError(message: "a range ends with a class") }
        high = set[0].lowerBound
      }
      guard low <= high else { throw RegexError(message: "a range of [] runs backwards") }
      ranges.append(low...high)
    }
    guard take("]") else { throw RegexError(message: "a [ is not closed") }
    var result = RegexClass.normalized(ranges)
    if ignoresCase { result = RegexClass.withBothCases(result) }
    return isNegated ? RegexClass.inverted(result) : result
  }

  private mutating func posix() throws(RegexError) -> [ClosedRange<UInt32>] {
    for (name, ranges) in RegexClass.posix where take(name + ":]") { return ranges }
    throw RegexError(message: "there is no such class [:…:]")
  }
}

/// Sets of characters as ranges of scalar values.
enum RegexClass {
  static let digits: [ClosedRange<UInt32>] = [0x30...0x39]
  static let word: [ClosedRange<UInt32>] = [0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A]
  static let space: [ClosedRange<UInt32>] = [9...13, 32...32]
  static let anyButNewline: [ClosedRange<UInt32>] = [0...9, 11...0x10FFFF]
  static let posix: [(String, [ClosedRange<UInt32>])] = [
    ("alpha", [0x41...0x5A, 0x61...0x7A]), ("digit", digits), ("alnum", [0x30...0x39, 0x41...0x5A, 0x61...0x7A]),
    ("upper", [0x41...0x5A]), ("lower", [0x61...0x7A]), ("space", space), ("punct", [33...47, 58...64, 91...96, 123...126]),
    ("xdigit", [0x30...0x39, 0x41...0x46, 0x61...0x66]), ("word", word),
  ]

  static func normalized(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var result: [ClosedRange<UInt32>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = result.last, range.lowerBound <= last.upperBound + 1 {
        result[result.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        result.append(range)
      }
    }
    return result
  }

  static func inverted(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in normalized(ranges) {
      if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= 0x10FFFF { result.append(next...0x10FFFF) }
    return result
  }

  static func withBothCases(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var all = ranges
    for range in ranges {
      let upper = range.clamped(to: 0x41...0x5A)
      if range.overlaps(0x41...0x5A) { all.append(upper.lowerBound + 32...upper.upperBound + 32) }
      let lower = range.clamped(to: 0x61...0x7A)
      if range.overlaps(0x61...0x7A) { all.append(lower.lowerBound - 32...lower.upperBound - 32) }
    }
    return normalized(all)
  }
}
