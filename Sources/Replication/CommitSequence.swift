/// A place between two commits of a partition's log: how many there are before it. The end of a replica is one of these.
public struct CommitSequence: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: Int64

  public init(rawValue: Int64) { self.rawValue = rawValue }
  public init(_ rawValue: Int64) { self.rawValue = rawValue }

  public static let zero = CommitSequence(0)
  public static func < (a: CommitSequence, b: CommitSequence) -> Bool { a.rawValue < b.rawValue }
}

extension CommitSequence: CustomStringConvertible {
  public var description: String { String(rawValue) }
}
