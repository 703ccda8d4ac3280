/// A regular expression as states over bytes (Thompson's construction): a character is the bytes of its UTF-8.
struct RegexProgram {
  enum State {
    case byte(UInt8, UInt8, next: Int32)
    case split(Int32, Int32)
    case assertion(RegexAssertion, next: Int32)
    case match
  }

  private(set) var states: [State] = [.match]
  private(set) var start: Int32 = 0

  /// States of one expression. Each costs 16 bytes, and in the worst case some nanoseconds for each byte of text.
  static let statesMax = 10_000

  init(_ node: RegexNode) throws(RegexError) { start = try compile(node, next: 0) }

  private mutating func add(_ state: State) throws(RegexError) -> Int32 {
    guard states.count < Self.statesMax else { throw RegexError(message: "it is too large; repetitions multiply") }
    states.append(state)
    return Int32(states.count - 1)
  }

  /// - Returns: where `node` begins, which goes on with `next`.
  private mutating func compile(_ node: RegexNode, next: Int32) throws(RegexError) -> Int32 {
    switch node {
    case .empty: return next
    case .assertion(let assertion): return try add(.assertion(assertion, next: next))
    case .sequence(let items):
      var following = next
      for item in items.reversed() { following = try compile(item, next: following) }
      return following
    case .choice(let branches):
      var entry = try compile(branches[branches.count - 1], next: next)
      for branch in branches.dropLast().reversed() {
        let other = try compile(branch, next: next)
        entry = try add(.split(other, entry))
      }
      return entry
    case .loop(let body, let from, let upTo):
      var following = next
      if let upTo {
        for _ in 0..<(upTo - from) {
          let entry = try compile(body, next: following)
          following = try add(.split(entry, next))
        }
      } else {
        // The state that decides to go round again is known before what it goes round.
        let again = try add(.split(0, next))
        states[Int(again)] = .split(try compile(body, next: again), next)
        following = again
      }
      for _ in 0..<from { following = try compile(body, next: following) }
      return following
    case .scalars(let ranges):
      var entry: Int32?
      for range in ranges {
        for sequence in UTF8Ranges.split(range) {
          var following = next
          for bytes in sequence.reversed() {
            following = try add(.byte(bytes.lowerBound, bytes.upperBound, next: following))
          }
          entry = try entry.map { (other) throws(RegexError) in try add(.split(following, other)) } ?? following
        }
      }
      // A class of no characters matches nothing: a range of bytes that runs backwards holds none.
      return try entry ?? add(.byte(1, 0, next: next))
    }
  }
}

/// Ranges of characters as sequences of ranges of bytes.
enum UTF8Ranges {
  static func split(_ range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    // By length of the encoding; surrogates, which have none, are in no text.
    for band in [0...0x7F, 0x80...0x7FF, 0x800...0xFFFF, 0x10000...0x10FFFF] as [ClosedRange<UInt32>] where range.overlaps(band)
    {
      let part = range.clamped(to: band)
      split(encode(part.lowerBound), encode(part.upperBound), into: &result)
    }
    return result
  }

  private static func encode(_ value: UInt32) -> [UInt8] {
    func tail(_ shift: UInt32) -> UInt8 { UInt8(0x80 | (value >> shift) & 0x3F) }
    switch value {
    case 0...0x7F: return [UInt8(value)]
    case 0x80...0x7FF: return [UInt8(0xC0 | value >> 6), tail(0)]
    case 0x800...0xFFFF: return [UInt8(0xE0 | value >> 12), tail(6), tail(0)]
    default: return [UInt8(0xF0 | value >> 18), tail(12), tail(6), tail(0)]
    }
  }

  /// Encodings of one length from `low` to `high`.
  private static func split(_ low: [UInt8], _ high: [UInt8], into result: inout [[ClosedRange<UInt8>]]) {
    let common = zip(low, high).prefix { $0 == $1 }.count
    let prefix = low[..<common].map { $0...$0 }
    if common >= low.count - 1 {
      result.append(common == low.count ? prefix : prefix + [low[common]...high[common]])
      return
    }
    let rest = low.count - common - 1
    var first = low[common]
    var last = high[common]
    // The first byte's own continuation where it does not begin at the least, likewise the last byte's.
    if low[(common + 1)...].contains(where: { $0 != 0x80 }) {
      split(low, Array(low[...common]) + [UInt8](repeating: 0xBF, count: rest), into: &result)
      first += 1
    }
    var end: [UInt8]?
    if high[(common + 1)...].contains(where: { $0 != 0xBF }) {
      end = Array(high[...common]) + [UInt8](repeating: 0x80, count: rest)
      last -= 1
    }
    if first <= last { result.append(prefix + [first...last] + [ClosedRange<UInt8>](repeating: 0x80...0xBF, count: rest)) }
    if let end { split(end, high, into: &result) }
  }
}
