/// Says whether a regular expression matches anywhere in bytes, in time linear in them.
///
/// A deterministic automaton that is built as texts ask for it: each of its states is the set of the program's states that a prefix
/// leads to. Used by one thread.
final class RegexMatcher {
  private let program: RegexProgram
  /// Sets of program states, each behind what the byte before was.
  private var sets: [[Int32]] = []
  private var numbers: [[Int32]: Int32] = [:]
  /// For each set its successors by byte, and by the end of the text.
  private var successors: [Int32] = []
  private var isVisited: [Bool]
  private var stack: [Int32] = []

  private static let symbols = 257
  private static let endOfText = 256
  private static let unknown: Int32 = -1
  private static let matched: Int32 = -2
  private static let failed: Int32 = -3
  /// Sets that are kept, 1 KiB each; past it they are forgotten and built anew.
  private static let setsMax = 4000
  /// Bytes between two looks at whether to stop.
  private static let strideBytes = 1 << 14

  // What the byte before was, as the first member of a set.
  private static let beforeStart: Int32 = -1
  private static let beforeWord: Int32 = -2
  private static let beforeOther: Int32 = -3

  init(_ pattern: String) throws(RegexError) {
    program = try RegexProgram(try RegexParser.parse(pattern))
    isVisited = [Bool](repeating: false, count: program.states.count)
  }

  /// - Parameter shouldStop: asked now and then; true ends the search without a result.
  /// - Returns: nil if it was stopped.
  func matches(_ text: UnsafeRawBufferPointer, shouldStop: () -> Bool) -> Bool? {
    var current = number(of: [Self.beforeStart, program.start])
    var position = 0
    while position < text.count {
      if shouldStop() { return nil }
      let end = min(text.count, position + Self.strideBytes)
      while position < end {
        var next = successors[Int(current) * Self.symbols + Int(text[position])]
        if next == Self.unknown { next = step(&current, Int(text[position])) }
        if next == Self.matched { return true }
        current = next
        position += 1
      }
    }
    var next = successors[Int(current) * Self.symbols + Self.endOfText]
    if next == Self.unknown { next = step(&current, Self.endOfText) }
    return next == Self.matched
  }

  private func number(of set: [Int32]) -> Int32 {
    if let known = numbers[set] { return known }
    let number = Int32(sets.count)
    sets.append(set)
    numbers[set] = number
    successors.append(contentsOf: repeatElement(Self.unknown, count: Self.symbols))
    return number
  }

  /// Finds the successor of `current` and notes it; `current` gets another number if everything was forgotten for it.
  @inline(never)
  private func step(_ current: inout Int32, _ symbol: Int) -> Int32 {
    if sets.count >= Self.setsMax {
      let set = sets[Int(current)]
      sets = []
      numbers = [:]
      successors = []
      current = number(of: set)
    }
    let next = successor(of: sets[Int(current)], symbol)
    successors[Int(current) * Self.symbols + symbol] = next
    return next
  }

  private func successor(of set: [Int32], _ symbol: Int) -> Int32 {
    let before = set[0]
    let isWordNext = symbol < 256 && Self.isWord(UInt8(symbol))
    var reached: [Int32] = []
    var visited: [Int32] = []
    defer { for state in visited { isVisited[Int(state)] = false } }
    stack.removeAll(keepingCapacity: true)
    stack.append(contentsOf: set.dropFirst())
    while let state = stack.popLast() {
      if isVisited[Int(state)] { continue }
      isVisited[Int(state)] = true
      visited.append(state)
      switch program.states[Int(state)] {
      case .match: return Self.matched
      case .byte(let low, let high, let next):
        if symbol >= Int(low) && symbol <= Int(high) { reached.append(next) }
      case .split(let one, let other):
        stack.append(one)
        stack.append(other)
      case .assertion(let assertion, let next):
        let holds =
          switch assertion {
          case .start: before == Self.beforeStart
          case .end: symbol == Self.endOfText
          case .boundary: (before == Self.beforeWord) != isWordNext
          case .noBoundary: (before == Self.beforeWord) == isWordNext
          }
        if holds { stack.append(next) }
      }
    }
    if symbol == Self.endOfText { return Self.failed }
    // A match may begin behind every byte.
    reached.append(program.start)
    reached.sort()
    var following = [isWordNext ? Self.beforeWord : Self.beforeOther]
    for state in reached where following.last != state { following.append(state) }
    return number(of: following)
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5A, 0x5F, 0x61...0x7A: true
    default: false
    }
  }
}
