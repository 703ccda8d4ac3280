/// What each page of a database is for: which table or index, or what else.
///
/// Found by walking all of it, without SQLite: so it says something of a damaged database as well.
public struct PageOwners: Sendable {
  public enum Owner: Hashable, Sendable {
    /// The list of tables and indexes.
    case schema
    case table(String)
    case index(String, table: String)
    case freelist
    case pointerMap
    case lockPage
    /// Nothing that was found leads to it.
    case unknown
  }

  /// Indexes of `names`, for page n at n - 1; 0 is unknown.
  private var owners: [Int32]
  private var names: [Owner] = [.unknown]
  private var roots: [(owner: Owner, root: PageNumber)] = []

  /// - Parameters:
  ///   - pageCount: pages in the database.
  ///   - read: fills the buffer with a page.
  public init<E: Error>(
    _ header: DatabaseHeader, pageCount: Int, read: @escaping (PageNumber, UnsafeMutableRawBufferPointer) throws(E) -> Void
  ) throws(E) {
    owners = [Int32](repeating: 0, count: pageCount)
    var walk = Walk(header: header, read: read)
    claim(header.pageSize.lockPage, for: .lockPage)
    if header.hasPointerMap {
      let distance = header.usableBytes / 5 + 1
      for first in stride(from: 2, through: pageCount, by: distance) {
        let isLockPage = first == Int(header.pageSize.lockPage.rawValue)
        claim(PageNumber(UInt32(isLockPage ? first + 1 : first)), for: .pointerMap)
      }
    }
    try claimTree(.first, for: .schema, &walk)
    for (owner, root) in roots { try claimTree(root, for: owner, &walk) }
    var trunk = header.firstFreelistTrunk
    while claim(trunk, for: .freelist) {
      trunk = try walk.page(trunk) { page in
        let count = min(Int(page.word(at: 4)), page.count / 4 - 2)
        for index in 0..<max(0, count) { claim(PageNumber(page.word(at: 8 + 4 * index)), for: .freelist) }
        return PageNumber(page.word(at: 0))
      }
    }
  }

  public subscript(_ page: PageNumber) -> Owner {
    let index = Int(page.rawValue) - 1
    return owners.indices.contains(index) ? names[Int(owners[index])] : .unknown
  }

  /// The first page of a table.
  public func root(ofTable name: String) -> PageNumber? { roots.first { $0.owner == .table(name) }?.root }

  /// Reads pages into one buffer.
  private struct Walk<E: Error> {
    let header: DatabaseHeader
    let read: (PageNumber, UnsafeMutableRawBufferPointer) throws(E) -> Void
    var buffer: [UInt8]

    init(header: DatabaseHeader, read: @escaping (PageNumber, UnsafeMutableRawBufferPointer) throws(E) -> Void) {
      self.header = header
      self.read = read
      buffer = [UInt8](repeating: 0, count: header.pageSize.bytes)
    }

    mutating func page<R>(_ number: PageNumber, _ body: (UnsafeRawBufferPointer) -> R) throws(E) -> R {
      try buffer.withRaw { (bytes: UnsafeMutableRawBufferPointer) throws(E) in try read(number, bytes) }
      return buffer.withUnsafeBytes(body)
    }
  }

  /// - Returns: false where the page is not in the database, or belongs to something already.
  @discardableResult
  private mutating func claim(_ page: PageNumber, for owner: Owner) -> Bool {
    let index = Int(page.rawValue) - 1
    guard owners.indices.contains(index), owners[index] == 0 else { return false }
    if names.last != owner { names.append(owner) }
    owners[index] = Int32(names.count - 1)
    return true
  }

  private mutating func claimTree<E>(_ root: PageNumber, for owner: Owner, _ walk: inout Walk<E>) throws(E) {
    var waiting = [root]
    while let number = waiting.popLast() {
      guard claim(number, for: owner) else { continue }
      let usable = walk.header.usableBytes
      var found: [(Owner, PageNumber)] = []
      let page = try walk.page(number) { bytes -> BTreePage? in
        let page = BTreePage(bytes, number, usableBytes: usable)
        if owner == .schema, let page { found = page.records.compactMap { Self.object(BTreePage.values(bytes, $0)) } }
        return page
      }
      roots += found.map { (owner: $0.0, root: $0.1) }
      guard let page else { continue }
      waiting += page.children
      for first in page.overflows {
        var next = first
        while claim(next, for: owner) { next = try walk.page(next) { PageNumber($0.word(at: 0)) } }
      }
    }
  }

  /// A row of the schema: type, name, table, root page, SQL.
  private static func object(_ values: [BTreePage.Value]) -> (Owner, PageNumber)? {
    guard values.count >= 4, case .text(let type) = values[0], case .text(let name) = values[1],
      case .text(let table) = values[2], case .integer(let root) = values[3], let page = UInt32(exactly: root), page > 0
    else { return nil }
    return (type == "index" ? .index(name, table: table) : .table(name), PageNumber(page))
  }
}

extension PageOwners.Owner: CustomStringConvertible {
  public var description: String {
    switch self {
    case .schema: "table sqlite_schema"
    case .table(let name): "table \(name)"
    case .index(let name, let table): "index \(name) of \(table)"
    case .freelist: "freelist"
    case .pointerMap: "pointer map"
    case .lockPage: "lock page"
    case .unknown: "unknown"
    }
  }
}

/// The one row of a small table, read from the page it lies on.
public enum SingleRow {
  /// The integers among the values of the only record of a table's leaf, by their columns; nil where there is another number of records.
  public static func integers(ofLeaf page: UnsafeRawBufferPointer, _ number: PageNumber, _ header: DatabaseHeader) -> [Int:
    Int64]?
  {
    guard let leaf = BTreePage(page, number, usableBytes: header.usableBytes), leaf.children.isEmpty, leaf.records.count == 1
    else { return nil }
    var integers: [Int: Int64] = [:]
    for (column, value) in BTreePage.values(page, leaf.records[0]).enumerated() {
      if case .integer(let number) = value { integers[column] = number }
    }
    return integers
  }
}
