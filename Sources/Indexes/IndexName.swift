/// The name of an index file: that of its segment, and the offsets it covers.
///
/// `00000000000000004096.00000000000000004096-00000000000000008192.index`, with the segment's generation behind its base where that is not
/// the first. It is none that a segment could have.
public struct IndexName: Hashable, Sendable, Comparable {
  public var segmentBase: Int64
  public var generation: Int64
  /// The first offset covered, and the one behind the last.
  public var from: Int64
  public var to: Int64

  static let ending = ".index"
  /// Of files that are still being written.
  static let draftEnding = ".index-draft"

  public init(segmentBase: Int64, generation: Int64, from: Int64, to: Int64) {
    self.segmentBase = segmentBase
    self.generation = generation
    self.from = from
    self.to = to
  }

  public var fileName: String {
    let segment = Self.padded(segmentBase) + (generation == 0 ? "" : ".\(generation)")
    return "\(segment).\(Self.padded(from))-\(Self.padded(to))\(Self.ending)"
  }

  /// - Returns: nil for any other file.
  public init?(fileName: String) {
    guard fileName.hasSuffix(Self.ending) else { return nil }
    let parts = fileName.dropLast(Self.ending.count).split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2 || parts.count == 3, let base = Self.offset(parts[0]),
      let generation = parts.count == 3 ? Int64(parts[1]) : 0, generation >= 0
    else { return nil }
    let ends = parts[parts.count - 1].split(separator: "-", omittingEmptySubsequences: false)
    guard ends.count == 2, let from = Self.offset(ends[0]), let to = Self.offset(ends[1]), from < to, base <= from else {
      return nil
    }
    self.init(segmentBase: base, generation: generation, from: from, to: to)
  }

  private static func padded(_ number: Int64) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 20 - digits.count)) + digits
  }

  private static func offset(_ text: Substring) -> Int64? {
    guard text.utf8.count == 20, let number = Int64(text), number >= 0 else { return nil }
    return number
  }

  public static func < (a: IndexName, b: IndexName) -> Bool {
    (a.segmentBase, a.generation, a.from, a.to) < (b.segmentBase, b.generation, b.from, b.to)
  }

  /// Those that cover the most with the fewest files, in order; where they overlap, the later one counts from where the former ends.
  static func chosen(_ names: [IndexName]) -> [IndexName] {
    var waiting = names.sorted { ($0.from, $1.to) < ($1.from, $0.to) }[...]
    var chosen: [IndexName] = []
    var covered = Int64.min
    while let next = waiting.first {
      let reachable = waiting.prefix { $0.from <= max(covered, next.from) }
      guard let furthest = reachable.max(by: { $0.to < $1.to }) else { break }
      waiting = waiting.dropFirst(reachable.count)
      if furthest.to > covered {
        chosen.append(furthest)
        covered = furthest.to
      }
    }
    return chosen
  }
}
