internal import Model
internal import Pages
internal import Storage

/// Makes page sets of what lies in a -wal, or of a whole database.
struct PagesExtract {
  private let cut: DatabaseCut
  private let place: SegmentPosition?
  private let owners: PageOwners

  init(_ path: String) throws {
    cut = try DatabaseCut(path)
    owners = try cut.owners()
    place = SegmentPosition(try cut.currentHeader(), owners)
  }

  struct Summary {
    var sets = 0
    var bytes = 0
    var position: CommitPosition
    /// Commits of the -wal whose beginning is gone.
    var missing = 0
  }

  // Every page

  /// Writes the database as it is, as one set.
  func fullState(to output: OpenFile) throws -> Summary {
    let size = cut.pageSize.bytes
    let position = try cut.position(owners) ?? CommitPosition(leaderEpoch: .zero, segmentBase: .zero, commitSequence: 0)
    let bytes = try [UInt8](unsafeUninitializedCapacity: cut.pageCount * size) { buffer, count in
      for index in 0..<cut.pageCount {
        let room = UnsafeMutableRawBufferPointer(
          rebasing: UnsafeMutableRawBufferPointer(buffer)[index * size..<(index + 1) * size])
        try cut.read(PageNumber(UInt32(index + 1)), into: room)
      }
      count = cut.pageCount * size
    }
    var sums = PageSums(pageSize: cut.pageSize)
    let set = try bytes.withUnsafeBytes { bytes in
      try sums.capture(
        pages: (0..<cut.pageCount).map {
          (PageNumber(UInt32($0 + 1)), UnsafeRawBufferPointer(rebasing: bytes[$0 * size..<($0 + 1) * size]))
        }, pageCount: cut.pageCount, before: .zero, after: position, resync: true
      ) { (_, _) in false }.get()
    }
    var summary = Summary(position: position)
    try write(set, to: output, &summary)
    return summary
  }

  // The commits of the -wal

  /// Writes a set for each commit, or one for all of them.
  ///
  /// The pages of a commit travel with the sums of the database in front of it, so that is needed too. A checkpoint has put later
  /// versions of pages in its place for the commits up to some frame: those are left out, and counted.
  func commits(to output: OpenFile, merged: Bool) throws -> Summary {
    guard let log = cut.log else {
      throw CommandFailure("there is no commit in the WAL of '\(cut.file.path)'; --full takes the database")
    }
    var base = try BasePages(cut, log)
    let first = log.commits.firstIndex { $0.frames.lowerBound > base.lastCopiedFrame } ?? log.commits.count
    guard first < log.commits.count else {
      throw CommandFailure(
        "all of the WAL of '\(cut.file.path)' was checkpointed: what was in front of it is gone; --full takes the database")
    }
    var summary = Summary(position: .zero)
    summary.missing = first
    var (sums, frames) = try base.state(inFrontOf: first, of: log)
    var position = try position(after: first, frames, &base, log)
    var compactor: PageSetCompactor?
    var pending: [WALFrame] = []
    var page = [UInt8](repeating: 0, count: cut.pageSize.bytes)
    for commit in log.commits[first...] {
      pending += commit.pages
      var after = CommitPosition(leaderEpoch: .zero, segmentBase: .zero, commitSequence: position.commitSequence + 1)
      if let place {
        // A commit that keeps the position, as of a VACUUM, travels with the next one.
        guard let frame = pending.last(where: { $0.page == place.page }) else { continue }
        try page.withUnsafeMutableBytes { try log.read(frame.index, into: $0) }
        guard let found = page.withUnsafeBytes({ place.read($0) }), found != position else { continue }
        after = found
      }
      let set = try capture(pending, commit.pageCount, from: position, to: after, &sums, frames, &base, log)
      position = after
      for frame in pending { frames[frame.page] = frame.index }
      frames = frames.filter { $0.key.rawValue <= commit.pageCount }
      pending = []
      if merged, compactor != nil { try compactor!.add(set) } else if merged { compactor = PageSetCompactor(set) }
      if !merged { try write(set, to: output, &summary) }
    }
    if let compactor { try write(try compactor.merged(), to: output, &summary) }
    guard try WALReader.header(read: log.file.read) == .success(log.header) else {
      throw CommandFailure("'\(log.file.path)' was begun anew while it was read; try again")
    }
    summary.position = position
    return summary
  }

  private func position(
    after first: Int, _ frames: [PageNumber: Int], _ base: inout BasePages, _ log: DatabaseCut.Log
  ) throws -> CommitPosition {
    let counted = CommitPosition(leaderEpoch: .zero, segmentBase: .zero, commitSequence: Int64(first))
    guard let place else { return counted }
    var page = [UInt8](repeating: 0, count: cut.pageSize.bytes)
    try page.withUnsafeMutableBytes { room in
      if let frame = frames[place.page] { try log.read(frame, into: room) } else { try base.read(place.page, into: room) }
    }
    return page.withUnsafeBytes { place.read($0) } ?? counted
  }

  private func capture(
    _ changed: [WALFrame], _ pageCount: Int, from: CommitPosition, to: CommitPosition, _ sums: inout PageSums,
    _ frames: [PageNumber: Int], _ base: inout BasePages, _ log: DatabaseCut.Log
  ) throws -> PageSet {
    let size = cut.pageSize.bytes
    var bytes = [UInt8](repeating: 0, count: changed.count * size)
    try bytes.withUnsafeMutableBytes { bytes in
      for (index, frame) in changed.enumerated() {
        try log.read(frame.index, into: UnsafeMutableRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size]))
      }
    }
    let known = base
    return try bytes.withUnsafeBytes { bytes in
      try sums.capture(
        pages: changed.enumerated().map {
          ($0.element.page, UnsafeRawBufferPointer(rebasing: bytes[$0.offset * size..<($0.offset + 1) * size]))
        }, pageCount: pageCount, before: from, after: to
      ) { number, room in
        if let frame = frames[number] { try log.read(frame, into: room) } else { try known.read(number, into: room) }
        return true
      }.get()
    }
  }

  private func write(_ set: PageSet, to output: OpenFile, _ summary: inout Summary) throws {
    var bytes: [UInt8] = []
    set.encode(into: &bytes)
    try bytes.withUnsafeBytes { try output.write($0, at: summary.bytes) }
    summary.bytes += bytes.count
    summary.sets += 1
  }
}

/// The pages of a database's file, which are those in front of the -wal as far as no checkpoint has copied newer ones there.
private struct BasePages {
  private let cut: DatabaseCut
  private var hashes: [UInt64] = []
  /// The last frame that is known to have been copied; behind the commit it belongs to, the file and the -wal make each state.
  private(set) var lastCopiedFrame = 0

  init(_ cut: DatabaseCut, _ log: DatabaseCut.Log) throws {
    self.cut = cut
    let size = cut.pageSize
    let count = try cut.file.size() / size.bytes
    var page = [UInt8](repeating: 0, count: size.bytes)
    for index in 0..<count {
      let number = PageNumber(UInt32(index + 1))
      guard try page.withUnsafeMutableBytes({ try cut.file.read(at: index * size.bytes, into: $0) }) == size.bytes else {
        break
      }
      hashes.append(number == size.lockPage ? 0 : page.withUnsafeBytes { DatabaseSum.ofPage(number, $0) })
    }
    var copied: [PageNumber: Int] = [:]
    for commit in log.commits {
      for frame in commit.pages where copied[frame.page] == nil && Int(frame.page.rawValue) <= hashes.count {
        try page.withUnsafeMutableBytes { try log.read(frame.index, into: $0) }
        let hash = page.withUnsafeBytes { DatabaseSum.ofPage(frame.page, $0) }
        if hash == hashes[Int(frame.page.rawValue) - 1] { copied[frame.page] = commit.frames.upperBound }
      }
    }
    lastCopiedFrame = copied.values.max() ?? 0
  }

  /// The sums in front of a commit, and the frames that pages had by then.
  func state(inFrontOf first: Int, of log: DatabaseCut.Log) throws -> (PageSums, [PageNumber: Int]) {
    var frames: [PageNumber: Int] = [:]
    for commit in log.commits[..<first] {
      for frame in commit.pages { frames[frame.page] = frame.index }
      frames = frames.filter { $0.key.rawValue <= commit.pageCount }
    }
    let pageCount = first > 0 ? log.commits[first - 1].pageCount : cut.header.pageCount ?? hashes.count
    var known: [UInt64] = []
    var page = [UInt8](repeating: 0, count: cut.pageSize.bytes)
    for index in 0..<pageCount {
      let number = PageNumber(UInt32(index + 1))
      if let frame = frames[number] {
        try page.withUnsafeMutableBytes { try log.read(frame, into: $0) }
        known.append(page.withUnsafeBytes { DatabaseSum.ofPage(number, $0) })
      } else if index < hashes.count {
        known.append(hashes[index])
      } else {
        throw CommandFailure("'\(cut.file.path)' is cut off: page \(number) of \(pageCount) is not there")
      }
    }
    return (PageSums(pageSize: cut.pageSize, hashes: known), frames)
  }

  func read(_ number: PageNumber, into page: UnsafeMutableRawBufferPointer) throws {
    guard try cut.file.read(at: number.byteOffset(pageSize: cut.pageSize), into: page) == page.count,
      number == cut.pageSize.lockPage
        || DatabaseSum.ofPage(number, UnsafeRawBufferPointer(page)) == hashes[Int(number.rawValue) - 1]
    else { throw CommandFailure("'\(cut.file.path)' was checkpointed while it was read; try again") }
  }
}
