internal import Model
internal import Pages

/// A file that was just sealed, compared with what its leader knows of it.
enum SealedPages {
  /// The hash that it is to have for good.
  ///
  /// - Parameters:
  ///   - expected: the hash of each page, as followers were sent them.
  ///   - verifiesBatches: whether batches are looked at where `expected` is nil.
  /// - Throws: `.damaged` where it is not what was written.
  static func verifiedHash(
    of file: SegmentFile, _ expected: PageSums?, _ verifiesBatches: Bool, _ store: StoreShared
  ) throws(StorageError) -> SegmentRecord.Seal {
    guard let expected else {
      if verifiesBatches { try verifyBatches(of: file, store) }
      return try FileHash.compute(file.path, passingCache: true)
    }
    var found = PageSums(pageSize: expected.pageSize)
    var rest: [UInt8] = []
    let seal = try FileHash.compute(file.path, passingCache: true) { piece in
      // Pieces end where pages do, but for reads that were cut short.
      guard !rest.isEmpty || piece.count % expected.pageSize.bytes != 0 else { return append(piece, to: &found) }
      rest += piece
      let whole = rest.count / expected.pageSize.bytes * expected.pageSize.bytes
      rest.withUnsafeBytes { append(UnsafeRawBufferPointer(rebasing: $0[..<whole]), to: &found) }
      rest.removeFirst(whole)
    }
    guard rest.isEmpty, found.total == expected.total, found.pageCount == expected.pageCount else {
      let page = found.differences(from: expected).first.map { "page \($0)" } ?? "its length"
      throw .damaged(
        StorageDamage(file: file.path, baseOffset: nil, offset: nil, reason: "\(page) is not what was written there"))
    }
    return seal
  }

  private static func append(_ pages: UnsafeRawBufferPointer, to sums: inout PageSums) {
    let size = sums.pageSize.bytes
    for start in stride(from: 0, to: pages.count, by: size) {
      sums.append(UnsafeRawBufferPointer(rebasing: pages[start..<start + size]))
    }
  }

  private static func verifyBatches(of file: SegmentFile, _ store: StoreShared) throws(StorageError) {
    guard let end = file.currentRecord?.endOffset else { return }
    var position = file.baseOffset
    while position < end {
      let begin = position
      _ = try store.readers.withConnection(to: file) { connection throws(StorageError) in
        try connection.checkBatches(position: &position, below: end, maxBytes: 1 << 20)
      }
      if position == begin { return }
    }
  }
}
