internal import Model
internal import Pages

/// Where a segment keeps its position, in terms of pages: the table `partition_state` of migrations/segment, which has one row.
struct SegmentPosition {
  private static let applicationID: UInt32 = 0x5175_5347
  private static let table = "partition_state"
  /// The columns base_offset, leader_epoch and commit_sequence.
  private static let columns = (base: 4, epoch: 8, sequence: 9)

  /// The page that has the row.
  let page: PageNumber
  private let header: DatabaseHeader

  /// - Returns: nil for a database that keeps no position.
  init?(_ header: DatabaseHeader, _ owners: PageOwners) {
    guard header.applicationID == Self.applicationID, let root = owners.root(ofTable: Self.table) else { return nil }
    page = root
    self.header = header
  }

  /// - Parameter bytes: `page` as it is after a commit.
  func read(_ bytes: UnsafeRawBufferPointer) -> CommitPosition? {
    guard let row = SingleRow.integers(ofLeaf: bytes, page, header), let base = row[Self.columns.base],
      let epoch = row[Self.columns.epoch], let sequence = row[Self.columns.sequence]
    else { return nil }
    return CommitPosition(
      leaderEpoch: LeaderEpoch(Int32(clamping: epoch)), segmentBase: Offset(base), commitSequence: sequence)
  }
}

extension DatabaseCut {
  /// Where the database stands, if it says so.
  func position(_ owners: PageOwners) throws -> CommitPosition? {
    guard let place = SegmentPosition(try currentHeader(), owners) else { return nil }
    var page = [UInt8](repeating: 0, count: pageSize.bytes)
    try page.withUnsafeMutableBytes { try read(place.page, into: $0) }
    return page.withUnsafeBytes { place.read($0) }
  }
}
