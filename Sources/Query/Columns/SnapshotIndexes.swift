internal import Indexes
internal import Records
internal import Storage

/// The indexes of one partition of a snapshot.
final class SnapshotIndexes: PartitionIndexes {
  private let history: PartitionHistory
  private let files: IndexFiles
  private let listing: IndexListing
  let stretches: [Range<Int64>]

  init(_ history: PartitionHistory, _ files: IndexFiles, _ listing: IndexListing) {
    self.history = history
    self.files = files
    self.listing = listing
    stretches = listing.names.map { $0.from..<$0.to }
  }

  func offsets(
    in index: Int, _ definition: IndexDefinition, _ probe: IndexProbe,
    confirm: (IndexExtent.BatchIdentity) -> Bool, control: ScanControl
  ) throws(HistoryError) -> [Int64]? {
    do throws(IndexError) {
      return try files.offsets(
        definition, probe, in: listing.names[index], listing.directory, of: history.topicID, history.partition,
        confirm: confirm, shouldStop: { control.isCancelled || control.isLate })
    } catch {
      try control.check()
      if case .unavailable(let words) = error { throw HistoryError(.unavailable, words) }
      return nil
    }
  }
}

enum BatchIdentityCheck {
  /// - Parameter header: bytes of a batch, at least its header.
  static func isSame(_ identity: IndexExtent.BatchIdentity, _ header: UnsafeRawBufferPointer) -> Bool {
    guard let header = try? BatchHeader(header) else { return false }
    return IndexExtent.BatchIdentity(header) == identity
  }
}

extension IndexExtent.BatchIdentity {
  init(_ header: BatchHeader) {
    self.init(baseOffset: header.baseOffset, leaderEpoch: header.partitionLeaderEpoch, crc: header.crc)
  }
}
