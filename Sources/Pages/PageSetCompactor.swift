internal import Model

/// Merges page sets that follow one another: the last version of each page, and the positions and sums of both ends.
///
/// Keeps one version of each page in memory.
public struct PageSetCompactor {
  private var header: PageSetHeader
  private var pages: [PageNumber: Version]

  private struct Version {
    var kind: PageSet.Entry.Kind
    var bytes: [UInt8]
  }

  public init(_ first: PageSet) {
    header = first.header
    pages = [:]
    take(first)
  }

  /// Adds the set that goes on where the last one ended.
  ///
  /// - Throws: where it does not; the compactor is what it was.
  public mutating func add(_ next: PageSet) throws(PagesError) {
    let following = next.header
    guard following.pageSize == header.pageSize else {
      throw .pageSizeMismatch(database: header.pageSize.bytes, set: following.pageSize.bytes)
    }
    if following.isFullState {
      header = following
      pages = [:]
      return take(next)
    }
    if !following.flags.contains(.resync), following.before != header.after {
      throw .positionMismatch(database: header.after, set: following.before)
    }
    guard following.sumBefore == header.sumAfter, following.pageCountBefore == header.pageCountAfter else {
      throw .stateMismatch(
        database: header.sumAfter, pages: header.pageCountAfter, set: following.sumBefore, setPages: following.pageCountBefore)
    }
    take(next)
    header.flags.formUnion(following.flags)
    header.pageCountAfter = following.pageCountAfter
    header.after = following.after
    header.sumAfter = following.sumAfter
    header.events = joined(header.events, following.events)
    // Those that were cut off; what grew again since is in `next`, whole.
    pages = pages.filter { $0.key.rawValue <= following.pageCountAfter }
  }

  private mutating func take(_ set: PageSet) {
    for entry in set.entries {
      set.withBytes(of: entry) { bytes in
        pages[entry.page] =
          entry.kind == .delta ? patched(pages[entry.page], bytes) : Version(kind: entry.kind, bytes: Array(bytes))
      }
    }
  }

  private func patched(_ version: Version?, _ delta: UnsafeRawBufferPointer) -> Version {
    guard var version else { return Version(kind: .delta, bytes: Array(delta)) }
    switch version.kind {
    case .whole: version.bytes.withUnsafeMutableBytes { PageDelta.apply(delta, to: $0) }
    case .delta, .zeroDelta:
      let joined = version.bytes.withUnsafeBytes { PageDelta.joined($0, delta, pageSize: header.pageSize) }
      version.bytes = joined
    }
    return version
  }

  private func joined(_ a: Range<Offset>?, _ b: Range<Offset>?) -> Range<Offset>? {
    guard let a, let b else { return a ?? b }
    return min(a.lowerBound, b.lowerBound)..<max(a.upperBound, b.upperBound)
  }

  /// One set that does what all of them do.
  ///
  /// - Throws: `.impossible` where what was merged is one commit back and forth: positions that do not lead anywhere.
  public func merged() throws(PagesError) -> PageSet {
    var writer = PageSetWriter(pageSize: header.pageSize)
    for (number, version) in pages.sorted(by: { $0.key < $1.key }) {
      version.bytes.withUnsafeBytes { writer.append(number, version.kind, $0) }
    }
    return try writer.finish(header)
  }
}
