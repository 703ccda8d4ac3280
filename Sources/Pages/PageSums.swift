internal import Bytes

/// The sum over all pages of a database: XOR of the hashes of (page number, page).
///
/// Finds damage and forgotten pages; no protection against somebody who looks for two databases with one sum.
public struct DatabaseSum: RawRepresentable, Hashable, Sendable {
  public var rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// The sum of no pages.
  public static let empty = DatabaseSum(0)

  /// What one page adds. The number is hashed with the page, so that two pages that changed places do not cancel out.
  public static func ofPage(_ number: PageNumber, _ page: UnsafeRawBufferPointer) -> UInt64 {
    var hash = XXH64()
    withUnsafeBytes(of: UInt64(number.rawValue).bigEndian) { hash.update($0) }
    hash.update(page)
    return hash.value
  }
}

extension DatabaseSum: CustomStringConvertible {
  /// Sixteen hexadecimal digits.
  public var description: String { hexadecimal(rawValue, digits: 16) }

  public init?(_ text: String) {
    guard text.utf8.count == 16, text.allSatisfy(\.isHexDigit), let value = UInt64(text, radix: 16) else { return nil }
    self.init(value)
  }
}

/// The hash of every page of one database, 8 bytes each, and their sum; a commit changes as many of them as it has pages.
public struct PageSums: Hashable, Sendable {
  public let pageSize: PageSize
  /// Of page n at n - 1; 0 for the lock page.
  public private(set) var hashes: [UInt64] = []
  public private(set) var total = DatabaseSum.empty

  /// Of a database without pages.
  public init(pageSize: PageSize) { self.pageSize = pageSize }

  /// Of pages that were hashed one by one, or kept.
  public init(pageSize: PageSize, hashes: [UInt64]) {
    self.pageSize = pageSize
    self.hashes = hashes
    total = DatabaseSum(hashes.reduce(0, ^))
  }

  public var pageCount: Int { hashes.count }

  /// The next page of a database that is read from its beginning.
  public mutating func append(_ page: UnsafeRawBufferPointer) {
    precondition(page.count == pageSize.bytes, "a page has the database's page size")
    let number = PageNumber(UInt32(hashes.count + 1))
    let hash = number == pageSize.lockPage ? 0 : DatabaseSum.ofPage(number, page)
    hashes.append(hash)
    total.rawValue ^= hash
  }

  /// The pages that differ from those of `other`, those that only one of them has included.
  public func differences(from other: PageSums) -> [PageNumber] {
    let common = min(hashes.count, other.hashes.count)
    let changed = (0..<common).filter { hashes[$0] != other.hashes[$0] }
    return (changed + Array(common..<max(hashes.count, other.hashes.count))).map { PageNumber(UInt32($0 + 1)) }
  }

  // A change that is not final yet.

  /// New hashes of pages, and the sum that they lead to.
  struct Change {
    fileprivate var hashes: [(index: Int, hash: UInt64)] = []
    fileprivate(set) var pageCount: Int
    private(set) var total: DatabaseSum

    fileprivate init(_ sums: PageSums, pageCount: Int) {
      self.pageCount = pageCount
      total = sums.total
      for dropped in sums.hashes.dropFirst(pageCount) { total.rawValue ^= dropped }
    }

    /// - Precondition: a page within the new size that was not given before.
    mutating func set(_ number: PageNumber, _ hash: UInt64, in sums: PageSums) {
      let index = Int(number.rawValue) - 1
      total.rawValue ^= hash ^ (index < sums.pageCount ? sums.hashes[index] : 0)
      hashes.append((index, hash))
    }
  }

  func change(pageCount: Int) -> Change { Change(self, pageCount: pageCount) }

  mutating func commit(_ change: Change) {
    if change.pageCount < hashes.count { hashes.removeLast(hashes.count - change.pageCount) }
    if change.pageCount > hashes.count {
      hashes.append(contentsOf: repeatElement(0, count: change.pageCount - hashes.count))
    }
    for (index, hash) in change.hashes { hashes[index] = hash }
    total = change.total
  }
}
