import Glibc
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

/// A leader's store and a follower's, each in a directory of its own.
struct Pair {
  let leader: TestStore
  let follower: TestStore
  let pages: LeaderPages
  var replica: FollowerPartition

  init(
    _ directory: String, _ options: (inout StoreOptions) -> Void = { _ in },
    _ configuration: (inout TopicConfiguration) -> Void = { _ in }
  ) throws {
    for name in ["leader", "follower"] { mkdir("\(directory)/\(name)", 0o700) }
    leader = try TestStore("\(directory)/leader", options)
    follower = try TestStore("\(directory)/follower", options)
    try leader.create(0, configuration)
    pages = try LeaderPages(leader)
    replica = try Self.open(follower)
  }

  static func open(_ store: TestStore) throws -> FollowerPartition {
    try store.store.openReplica(of: TestStore.name(), topicID: TestStore.topicID, configuration: .init())
  }

  /// Brings the follower to where the leader stands, the high watermark included.
  func catchUp(raises: Bool = true) throws {
    for set in try pages.next() { try replica.apply(set) }
    #expect(try replica.sync() == pages.position)
    if raises { replica.raiseHighWatermark(to: try leader.log().loadNow().highWatermark) }
  }

  /// Gives the follower the files it wants, in pieces.
  func copyFiles(pieceBytes: Int = 10_000) throws {
    for wanted in replica.wantedFiles {
      let name = SegmentName(baseOffset: wanted.base, generation: wanted.generation)
      let bytes = storedBytes("\(leader.partitionDirectory())/\(name.fileName)")
      for start in stride(from: Int(wanted.have), to: bytes.count, by: pieceBytes) {
        try replica.writeFile(
          base: wanted.base, generation: wanted.generation, offset: Int64(start), total: Int64(bytes.count),
          Array(bytes[start..<min(bytes.count, start + pieceBytes)]))
      }
    }
  }

  /// The segments that a store's rows know as sealed.
  static func sealed(_ store: TestStore) throws -> [String] {
    let path = "\(store.partitionDirectory())/\(try store.segmentNames().last!)"
    let connection = try Connection(path: path, mode: .readOnly)
    let rows = try connection.prepare("SELECT base_offset, generation FROM segment WHERE file_hash IS NOT NULL ORDER BY 1")
    var names: [String] = []
    while try rows.step() {
      names.append(SegmentName(baseOffset: rows.integer(at: 0), generation: rows.integer(at: 1)).fileName)
    }
    return names
  }

  /// Waits until the leader has sealed all but its active segment, and told so in its rows.
  func leaderSeals() throws -> Bool {
    try eventually { try Self.sealed(leader).count == leader.segmentNames().count - 1 }
  }

  /// Waits until the follower has done what its rows ask for.
  func settles() throws -> Bool {
    try eventually {
      _ = try replica.sync()
      return replica.locked {
        replica.jobsInFlight == 0 && replica.older.allSatisfy { $0.stage == .settled || $0.record.seal == nil }
      }
    }
  }

  func values() throws -> [String] { try follower.readAll().map(\.value) }
}

func withPair(
  _ options: (inout StoreOptions) -> Void = { _ in }, _ configuration: (inout TopicConfiguration) -> Void = { _ in },
  _ body: (inout Pair) throws -> Void
) throws {
  try withTemporaryDirectory { directory in
    var pair = try Pair(directory, options, configuration)
    try body(&pair)
  }
}

private let filler = String(repeating: "x", count: 300)

@Suite("A follower") struct FollowerTests {
  @Test("has what its leader has up to the high watermark, and refuses appends")
  func follows() throws {
    try withPair { pair in
      #expect(pair.replica.standing == nil)
      #expect(throws: StorageError.self) { try pair.follower.log().loadNow() }
      try pair.leader.append(["a", "b"])
      try pair.catchUp()
      #expect(try pair.values() == ["a", "b"])
      for index in 0..<5 {
        try pair.leader.append(["\(index)"])
        try pair.catchUp()
      }
      #expect(try pair.values() == ["a", "b", "0", "1", "2", "3", "4"])
      #expect(try pair.follower.append(["mine"]).error == .notLeaderOrFollower)
      let standing = try #require(pair.replica.standing)
      #expect(standing.position == pair.pages.position && standing.sum == pair.pages.sums?.total)
      let log = pair.follower.log()
      #expect(try log.offset(forTimestamp: pair.follower.clock.now)?.offset == .zero)
      #expect(try log.epochEnd(LeaderEpoch(0))?.endOffset == Offset(7))
      #expect(log.offsets == pair.leader.log().offsets)
    }
  }

  @Test("shows nobody what lies past the high watermark, and what was seen stays seen")
  func highWatermark() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<4 {
        try pair.leader.append(["\(index)"], timestamps: [1_000 + Int64(index)])
        try pair.catchUp(raises: false)
      }
      let log = pair.follower.log()
      #expect(log.offsets?.highWatermark == .zero && log.offsets?.logEndOffset == Offset(4))
      #expect(try pair.values() == [])
      pair.replica.raiseHighWatermark(to: Offset(2))
      #expect(try pair.values() == ["0", "1"])
      #expect(try log.offset(forTimestamp: 1_002) == nil)
      #expect(try log.offsetOfMaxTimestamp()?.timestamp == 1_001)
      #expect(try pair.follower.store.snapshot(of: nil).partitions.first?.highWatermark == Offset(2))
      #expect(throws: StorageError.self) { try log.read(from: Offset(3), maxBytes: 1_000) }
      // The high watermark lies in a segment that has successors.
      for index in 4..<20 { try pair.leader.append(["\(index)", filler]) }
      try pair.catchUp(raises: false)
      #expect(try pair.follower.segmentNames().count > 2)
      #expect(try pair.values() == ["0", "1"])
      #expect(try log.offset(forTimestamp: 1_002) == nil)
      let history = try #require(try pair.follower.store.snapshot(of: nil).partitions.first)
      #expect(history.segments.allSatisfy { $0.endOffset <= max($0.baseOffset, Offset(2)) })
      pair.replica.raiseHighWatermark(to: Offset(1))
      #expect(log.offsets?.highWatermark == Offset(2))
      // More than is here: as far as it is.
      pair.replica.raiseHighWatermark(to: Offset(1_000))
      #expect(log.offsets?.highWatermark == log.offsets?.logEndOffset)
      #expect(try pair.follower.readAll().count == 4 + 16 * 2)
    }
  }

  @Test("rolls with its leader, and its sealed segments are the leader's byte for byte")
  func seals() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<12 {
        try pair.leader.append(["\(index)", filler])
        try pair.catchUp()
      }
      #expect(try pair.leaderSeals())
      try pair.catchUp()
      let names = try pair.leader.segmentNames()
      #expect(names.count > 2)
      #expect(try pair.follower.segmentNames() == names)
      let directory = pair.follower.partitionDirectory()
      #expect(
        try eventually {
          _ = try pair.replica.sync()
          return names.dropLast().allSatisfy { !fileExists("\(directory)/\($0)-wal") }
        })
      for name in names.dropLast() {
        #expect(storedBytes("\(directory)/\(name)") == storedBytes("\(pair.leader.partitionDirectory())/\(name)"))
      }
      #expect(pair.replica.wantedFiles.isEmpty)
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
    }
  }

  @Test("that begins with nothing reads the newest segment at once, and older ones when their files have come")
  func beginsLate() throws {
    try withPair({ _ in }, { $0.segmentBytes = 2_000 }) { pair in
      for index in 0..<12 { try pair.leader.append(["\(index)", filler]) }
      #expect(try pair.leaderSeals())
      try pair.catchUp()
      #expect(pair.replica.wantedFiles.count == (try pair.leader.segmentNames().count) - 1)
      #expect(pair.replica.wantedFiles.allSatisfy { $0.have == 0 })
      let base = try #require(pair.replica.standing).position.segmentBase
      #expect(try pair.follower.readAll(from: base.rawValue) == pair.leader.readAll(from: base.rawValue))
      #expect(throws: StorageError.self) { try pair.follower.log().read(from: .zero, maxBytes: 1_000) }
      // A piece that is damaged on its way: the file comes once more.
      let first = pair.replica.wantedFiles[0]
      let name = SegmentName(baseOffset: first.base, generation: first.generation).fileName
      var bytes = storedBytes("\(pair.leader.partitionDirectory())/\(name)")
      bytes[5_000] ^= 1
      #expect(throws: StorageError.self) {
        try pair.replica.writeFile(
          base: first.base, generation: first.generation, offset: 0, total: Int64(bytes.count), bytes)
      }
      #expect(pair.replica.wantedFiles[0].have == 0)
      try pair.copyFiles()
      #expect(pair.replica.wantedFiles.isEmpty)
      #expect(try pair.values() == pair.leader.readAll().map(\.value))
      for name in try pair.leader.segmentNames().dropLast() {
        #expect(
          storedBytes("\(pair.follower.partitionDirectory())/\(name)")
            == storedBytes("\(pair.leader.partitionDirectory())/\(name)"))
      }
    }
  }
}
