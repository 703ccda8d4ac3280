import Glibc
import Model
import Pages
import SQLite
import TestSupport

@testable import Storage

/// The page sets that lead from one state of a leader's partition to the next, made of what its files hold between two of them.
///
/// The files are copied by another process: closing a descriptor of a database would drop the locks that SQLite holds on it in this one.
final class LeaderPages {
  private let directory: String
  private let copies: String
  /// The segment that was looked at last, and its pages.
  private var name: SegmentName?
  private(set) var sums: PageSums?
  private var pages: [[UInt8]] = []
  private(set) var position = CommitPosition.zero

  init(_ store: TestStore) throws {
    directory = store.partitionDirectory()
    copies = store.directory + "/copies"
    mkdir(copies, 0o700)
  }

  /// Everything since the last call: the rest of the segment, then each later one as a full state and its commits so far as one set.
  func next() throws -> [PageSet] {
    var sets: [PageSet] = []
    let names = try directoryEntries(directory).compactMap { SegmentName(fileName: $0) }.sorted()
    if let name, names.contains(name), let set = try commits(of: name) { sets.append(set) }
    for later in names where name.map({ later > $0 }) ?? (later == names.last) { sets.append(try fullState(of: later)) }
    return sets
  }

  /// Every page of the newest segment.
  func fullState() throws -> PageSet {
    try fullState(of: directoryEntries(directory).compactMap { SegmentName(fileName: $0) }.max()!)
  }

  /// The pages that differ from those with these hashes.
  func resync(from hashes: [UInt64], at before: CommitPosition) throws -> PageSet {
    var theirs = PageSums(pageSize: sums!.pageSize, hashes: hashes)
    return try capture(sums!.differences(from: theirs).map { Int($0.rawValue) - 1 }, &theirs, before, isResync: true)
  }

  private func commits(of name: SegmentName) throws -> PageSet? {
    let (old, before) = (pages, position)
    try read(name)
    guard position != before else { return nil }
    let changed = pages.indices.filter { $0 >= old.count || old[$0] != pages[$0] }
    var sums = sums!
    let set = try capture(changed, &sums, before, isResync: false) { index, room in
      guard index < old.count else { return false }
      room.copyBytes(from: old[index])
      return true
    }
    self.sums = sums
    return set
  }

  private func fullState(of name: SegmentName) throws -> PageSet {
    self.name = name
    try read(name)
    var sums = PageSums(pageSize: PageSize(bytes: pages[0].count)!)
    let set = try capture(Array(pages.indices), &sums, .zero, isResync: true)
    self.sums = sums
    return set
  }

  private func capture(
    _ changed: [Int], _ sums: inout PageSums, _ before: CommitPosition, isResync: Bool,
    previous: (Int, UnsafeMutableRawBufferPointer) -> Bool = { _, _ in false }
  ) throws -> PageSet {
    let bytes = changed.flatMap { pages[$0] }
    let size = sums.pageSize.bytes
    return try bytes.withUnsafeBytes { bytes in
      try sums.capture(
        pages: changed.enumerated().filter { $0.element < pages.count }.map {
          (
            PageNumber(UInt32($0.element + 1)),
            UnsafeRawBufferPointer(rebasing: bytes[$0.offset * size..<($0.offset + 1) * size])
          )
        }, pageCount: pages.count, before: before, after: position, resync: isResync
      ) { number, room in previous(Int(number.rawValue) - 1, room) }.get()
    }
  }

  /// The -wal first: what a checkpoint puts into the file meanwhile is in it. Once more where it was taken away in between.
  private func take(_ copy: String, of source: String) throws {
    func stamp() -> [Int] {
      var status = stat()
      return stat(source + "-wal", &status) == 0 ? [Int(status.st_ino), Int(status.st_size)] : []
    }
    let command = "{ [ ! -e '\(source)-wal' ] || cp '\(source)-wal' '\(copy)-wal'; } && cp '\(source)' '\(copy)'"
    for _ in 0..<100 {
      for ending in ["", "-wal", "-shm"] { unlink(copy + ending) }
      let before = stamp()
      if system(command) == 0, stamp() == before { return }
      usleep(10_000)
    }
    throw SystemCallError(call: command, number: errno)
  }

  private func read(_ name: SegmentName) throws {
    let copy = "\(copies)/\(name.fileName)"
    try take(copy, of: "\(directory)/\(name.fileName)")
    let connection = try Connection(path: copy, mode: .readWrite)
    let row = try connection.prepare("SELECT leader_epoch, base_offset, commit_sequence FROM partition_state")
    _ = try row.step()
    position = CommitPosition(
      leaderEpoch: LeaderEpoch(Int32(row.integer(at: 0))), segmentBase: Offset(row.integer(at: 1)),
      commitSequence: row.integer(at: 2))
    row.reset()
    let size = Int(try connection.integer("PRAGMA page_size")!)
    _ = try connection.checkpoint(.truncate)
    let bytes = storedBytes(copy)
    pages = stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<$0 + size]) }
  }
}

/// Bytes of a file: of a database only while no connection of this process has it open but as immutable.
func storedBytes(_ path: String) -> [UInt8] {
  guard let file = fopen(path, "r") else { return [] }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
  return bytes
}
