import Glibc
import Model
import Pages
import SQLite
import Storage
import Synchronization
import TestSupport

/// A follower that keeps the pages of each segment in memory, and refuses what does not go on from them.
final class PageFollower {
  struct Image {
    var sums: PageSums
    var position: CommitPosition
    var bytes: [UInt8] = []

    var standing: ReplicaStanding {
      ReplicaStanding(position: position, sum: sums.total, pageCount: sums.pageCount)
    }
  }

  struct Refused: Error { var reason: PagesError }

  let calls = Calls()
  var images: [Int64: Image] = [:]
  /// The segment that pages came for last.
  var segmentBase: Int64?
  private(set) var sets: [PageSetHeader] = []
  private(set) var hashRequests: [Int64] = []
  private(set) var highWatermark: Offset?
  /// Whether page hashes are answered at once.
  var answers = true

  final class Calls: Sendable {
    let count = Atomic<Int>(0)
  }

  var standing: ReplicaStanding? { segmentBase.flatMap { images[$0]?.standing } }
  /// Sets that were not the next commits.
  var resyncs: [PageSetHeader] { sets.filter { $0.flags.contains(.resync) } }

  func follow(_ store: TestStore, _ partition: Int32 = 0, from standing: ReplicaStanding? = nil) throws -> ReplicaFeed {
    let calls = calls
    return try store.store.openFeed(
      of: TestStore.name(partition), topicID: TestStore.topicID, follower: NodeID(2), from: standing
    ) { calls.count.add(1, ordering: .relaxed) }
  }

  /// Takes what there is now.
  func drain(_ feed: ReplicaFeed) throws {
    while let change = try feed.next(maxBytes: 1 << 20) { try take(change, of: feed) }
  }

  func take(_ change: ReplicaFeed.Change, of feed: ReplicaFeed) throws {
    switch change {
    case .pages(let set): try apply(set)
    case .highWatermark(let offset): highWatermark = offset
    case .wantsPageHashes(let base):
      hashRequests.append(base)
      if answers { answer(base, feed) }
    }
  }

  func answer(_ base: Int64, _ feed: ReplicaFeed) {
    feed.pageHashes(segmentBase: base, images[base]?.sums.hashes ?? [])
  }

  private func apply(_ set: PageSet) throws {
    // As it travels.
    var encoded: [UInt8] = []
    set.encode(into: &encoded)
    var decoder = PageSetDecoder()
    encoded.withUnsafeBytes { decoder.append($0) }
    let set = try decoder.next() ?? set
    let base = set.header.after.segmentBase.rawValue
    let size = set.header.pageSize
    var image = images[base] ?? Image(sums: PageSums(pageSize: size), position: .zero)
    var bytes = image.bytes
    bytes += [UInt8](repeating: 0, count: max(0, set.header.pageCountAfter * size.bytes - bytes.count))
    let before = image.bytes
    let refusal = image.sums.apply(set, at: &image.position) { number, room in
      let start = number.byteOffset(pageSize: size)
      room.copyBytes(from: before[start..<start + size.bytes])
    } write: { number, page in
      let start = number.byteOffset(pageSize: size)
      bytes.replaceSubrange(start..<start + size.bytes, with: page)
    }
    if let refusal { throw Refused(reason: refusal) }
    bytes.removeLast(bytes.count - set.header.pageCountAfter * size.bytes)
    image.bytes = bytes
    images[base] = image
    segmentBase = base
    sets.append(set.header)
  }

  /// Takes what comes until the active segment is, byte for byte, the leader's.
  func isSame(as store: TestStore, _ feed: ReplicaFeed, _ partition: Int32 = 0) throws -> Bool {
    try eventually {
      try drain(feed)
      guard let name = try store.segmentNames(partition).last, let base = segmentBase,
        name.hasPrefix(SegmentFiles.digits(base))
      else { return false }
      return try SegmentFiles.settled("\(store.partitionDirectory(partition))/\(name)") == images[base]?.bytes
    }
  }

  func isSealedFileSame(as store: TestStore, _ name: String, _ partition: Int32 = 0) throws -> Bool {
    guard let base = Int64(name.prefix(20)), let image = images[base] else { return false }
    return try SegmentFiles.bytes("\(store.partitionDirectory(partition))/\(name)") == image.bytes
  }
}

enum SegmentFiles {
  static func digits(_ base: Int64) -> String {
    let digits = String(base)
    return String(repeating: "0", count: 20 - digits.count) + digits
  }

  static func bytes(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw SystemCallError(call: "open \(path)", number: errno) }
    defer { close(descriptor) }
    var status = stat()
    fstat(descriptor, &status)
    return [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { room, count in
      count = max(0, pread(descriptor, room.baseAddress, room.count, 0))
    }
  }

  /// The bytes of a database at rest, with its -wal folded into it: of a copy.
  static func settled(_ path: String) throws -> [UInt8] {
    try withTemporaryDirectory { directory in
      let copy = directory + "/copy.db"
      try copyFile(path, copy)
      if fileExists(path + "-wal") { try copyFile(path + "-wal", copy + "-wal") }
      let connection = try Connection(path: copy, mode: .readWrite)
      _ = try connection.integer("SELECT count(*) FROM partition_state")
      _ = try connection.checkpoint(.truncate)
      connection.close()
      return try bytes(copy)
    }
  }

  /// The salts of a -wal, which change when it is begun anew.
  static func salts(_ path: String) throws -> [UInt8] { Array(try bytes(path).prefix(24).suffix(8)) }

  static func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}
