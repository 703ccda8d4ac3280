package import Model
package import Pages

/// Where a segment, or a shard of the coordinator, keeps its position, in terms of pages: the table `partition_state`, which has one row.
package struct SegmentPosition: Sendable {
  private static let applicationIDs: [UInt32] = [0x5175_5347, 0x5175_434F]
  package static let table = "partition_state"
  /// The columns base_offset, leader_epoch and commit_sequence.
  private static let columns = (base: 4, epoch: 8, sequence: 9)

  /// The page that has the row.
  package let page: PageNumber
  private let header: DatabaseHeader

  /// - Returns: nil for a database that keeps no position.
  package init?(_ header: DatabaseHeader, _ owners: PageOwners) {
    guard Self.applicationIDs.contains(header.applicationID), let root = owners.root(ofTable: Self.table) else { return nil }
    page = root
    self.header = header
  }

  /// Of a segment whose schema says where the table begins.
  init(_ header: DatabaseHeader, page: PageNumber) {
    self.header = header
    self.page = page
  }

  /// - Parameter bytes: `page` as it is after a commit.
  package func read(_ bytes: UnsafeRawBufferPointer) -> CommitPosition? {
    guard let row = SingleRow.integers(ofLeaf: bytes, page, header), let base = row[Self.columns.base],
      let epoch = row[Self.columns.epoch], let sequence = row[Self.columns.sequence]
    else { return nil }
    return CommitPosition(
      leaderEpoch: LeaderEpoch(Int32(clamping: epoch)), segmentBase: Offset(base), commitSequence: sequence)
  }
}
