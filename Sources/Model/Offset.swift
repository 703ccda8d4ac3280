/// The position of a record in its partition's log: dense, starting at 0, never reused.
public struct Offset: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: Int64

  @inlinable public init(rawValue: Int64) { self.rawValue = rawValue }
  @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }

  public static let zero = Offset(0)

  @inlinable public static func < (a: Offset, b: Offset) -> Bool { a.rawValue < b.rawValue }
  /// The offset `count` records further on.
  @inlinable public static func + (a: Offset, count: Int64) -> Offset { Offset(a.rawValue + count) }
  /// How many offsets lie between `b` and `a`.
  @inlinable public static func - (a: Offset, b: Offset) -> Int64 { a.rawValue - b.rawValue }
}

extension Offset: CustomStringConvertible {
  public var description: String { String(rawValue) }
}

/// Fencing generation of a partition's leader (KIP-101, KIP-279, KIP-320).
public struct LeaderEpoch: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: Int32

  @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }
  @inlinable public init(_ rawValue: Int32) { self.rawValue = rawValue }

  public static let zero = LeaderEpoch(0)
  @inlinable public static func < (a: LeaderEpoch, b: LeaderEpoch) -> Bool { a.rawValue < b.rawValue }
  public var next: LeaderEpoch { LeaderEpoch(rawValue + 1) }
}

extension LeaderEpoch: CustomStringConvertible {
  public var description: String { String(rawValue) }
}

/// Milliseconds since 1970-01-01T00:00:00Z, Kafka's unit for record timestamps; -1 means none.
public typealias TimestampMilliseconds = Int64
