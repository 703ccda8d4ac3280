/// A page of a database file; the first is 1.
public struct PageNumber: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: UInt32

  @inlinable public init(rawValue: UInt32) { self.rawValue = rawValue }
  @inlinable public init(_ rawValue: UInt32) { self.rawValue = rawValue }

  public static let first = PageNumber(1)
  @inlinable public static func < (a: PageNumber, b: PageNumber) -> Bool { a.rawValue < b.rawValue }

  /// Where the page begins in the database file, in bytes.
  @inlinable public func byteOffset(pageSize: PageSize) -> Int { (Int(rawValue) - 1) * pageSize.bytes }
}

extension PageNumber: CustomStringConvertible {
  public var description: String { String(rawValue) }
}

/// The size of a database's pages: a power of two from 512 to 65,536 bytes.
public struct PageSize: Hashable, Sendable {
  public let bytes: Int

  /// - Returns: nil for a size that SQLite has not.
  public init?(bytes: Int) {
    guard bytes >= 512, bytes <= 65_536, bytes & (bytes - 1) == 0 else { return nil }
    self.bytes = bytes
  }

  /// The page that holds the byte SQLite locks, 1 GiB into the file: never written, never counted in a sum.
  public var lockPage: PageNumber { PageNumber(UInt32((1 << 30) / bytes + 1)) }
}
