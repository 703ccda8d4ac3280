import Glibc
import Model
import Pages
import Records
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Storage

/// Something that happens to a file of a node's.
struct FileDamage: CustomStringConvertible, Sendable {
  enum File: Sendable { case sealed, active, log, sharedMemory, sums }
  enum Kind: Sendable {
    /// A bit, so many bytes behind the beginning of a page (or of a frame of a -wal).
    case flip(page: Int, at: Int)
    /// Its last bytes are gone.
    case cut(bytes: Int)
    /// All but this many bytes are gone.
    case keep(bytes: Int)
    case missing
  }
  let file: File
  let kind: Kind

  var description: String { "\(file) \(kind)" }

  /// - Returns: false where there is no such place.
  func happen(to directory: String) throws -> Bool {
    let names = try directoryEntries(directory).filter { $0.hasSuffix(".db") }.sorted()
    let path: String
    switch file {
    case .sealed: path = "\(directory)/\(names[0])"
    case .active: path = "\(directory)/\(names.last!)"
    case .log: path = "\(directory)/\(names.last!)-wal"
    case .sharedMemory: path = "\(directory)/\(names.last!)-shm"
    case .sums: path = "\(directory)/\(names.last!).sums"
    }
    // By other processes: closing a descriptor of a database would drop SQLite's locks in this one.
    var status = stat()
    guard stat(path, &status) == 0, status.st_size > 0 else { return false }
    switch kind {
    case .flip(let page, let at):
      let place = file == .log ? 32 + page * (8192 + 24) + at : page * 8192 + at
      guard place < status.st_size else { return false }
      let script =
        "import sys;f=open('\(path)','r+b');f.seek(\(place));b=f.read(1)[0];f.seek(\(place));f.write(bytes([b^16]))"
      try #require(system("python3 -c \"\(script)\"") == 0)
    case .cut(let bytes): try #require(system("truncate -s -\(min(bytes, status.st_size)) '\(path)'") == 0)
    case .keep(let bytes): try #require(system("truncate -s \(min(bytes, status.st_size)) '\(path)'") == 0)
    case .missing: unlink(path)
    }
    return true
  }
}

/// Where the damage is met.
enum DamagedNode: String, CaseIterable, Sendable {
  case runningFollower, startingFollower, runningLeader
  /// It led, and follows since.
  case formerLeader
  /// It led, and leads again, as the only one that is there.
  case startingLeader
}

@Suite("One file of a node, damaged in one place,") struct DamageMatrixTests {
  private static let batches = 110
  private static func value(_ offset: Int64) -> String { "needle-\(offset)-" + String(repeating: "f", count: 300) }

  /// Two nodes with the same log: some sealed segments, and an active one of which a part is in the -wal. The files are as a crash would leave them.
  private static func make(in directory: String) throws {
    try withNodes(2, change) { nodes in
      try nodes[0].lead(1, [1, 2]) { $0.segmentBytes = 14_000 }
      let link = try Link(nodes[0], nodes[1])
      for index in 0..<batches {
        let sent = try nodes[0].send(value(Int64(index)), acks: 1) {
          $0.producerID = Int64(index % 3)
          $0.producerEpoch = 0
          $0.baseSequence = Int32(index / 3)
        }
        sent.inbox.wait(for: 1)
        if index % 4 == 0 { try link.pump() }
      }
      #expect(try eventually { try link.isSame() && nodes[1].highWatermark == Int64(batches) }, "\(link.words)")
      #expect(try nodes[0].segmentNames().count >= 3)
      for (node, name) in zip(nodes, ["leader", "follower"]) {
        mkdir("\(directory)/\(name)", 0o700)
        try copyAtOneMoment(node.dataDirectory, to: "\(directory)/\(name)/data")
      }
      link.close()
    }
  }

  private static func change(_ options: inout StoreOptions) {
    // Rounds are run by the test.
    options.scrubBytesPerSecond = 0
    options.checkpointBytes = 60_000
  }

  /// Two nodes that go on from those files.
  private final class Nodes {
    let leader: TestStore
    let follower: TestStore
    var link: Link?
    let told = Damages()
    /// As the scrub, or whoever leads, says.
    var isFound = false

    init(_ directory: String) throws {
      func store(_ name: String, _ id: Int32) throws -> TestStore {
        try TestStore("\(directory)/\(name)") {
          DamageMatrixTests.change(&$0)
          $0.nodeID = NodeID(id)
        }
      }
      leader = try store("leader", 1)
      follower = try store("follower", 2)
      told.hear(leader)
    }

    func lead(_ epoch: Int32, damages: Bool = false) throws {
      do throws(StorageError) {
        let set = ReplicaSet(replicas: [NodeID(1), NodeID(2)], inSync: [NodeID(1), NodeID(2)], isFixed: false)
        var configuration = TopicConfiguration()
        configuration.segmentBytes = 14_000
        try leader.store.lead(
          TestStore.name(), topicID: TestStore.topicID, epoch: LeaderEpoch(epoch), configuration: configuration, replicas: set)
      } catch {
        guard damages else { throw error }
        isFound = true
      }
    }

    /// The other one leads, and this one follows it.
    func handOver(_ epoch: Int32) throws {
      link?.close()
      try follower.lead(epoch, [2, 1]) { $0.segmentBytes = 14_000 }
      link = try Link(follower, leader, from: true)
    }
  }

  private final class Damages: Sendable {
    private let list = Mutex<[DamagedLeader]>([])
    func hear(_ store: TestStore) { store.store.setDamageObserver { one in self.list.withLock { $0.append(one) } } }
    var isEmpty: Bool { list.withLock { $0.isEmpty } }
  }

  /// Reads all that there is, and may be damaged, but never wrong.
  private func expectRight(_ store: TestStore, isWhole: Bool, _ words: String) throws {
    guard let log = store.store.partition(TestStore.name()), let end = log.offsets?.highWatermark else { return }
    var position = Offset(0)
    var count = 0
    while position < end {
      do throws(StorageError) {
        let records = try log.read(from: position, maxBytes: 2_000)
        do {
          for record in try store.decode(records) where record.offset >= position.rawValue {
            if record.value != Self.value(record.offset) { Issue.record("\(words): wrong record at \(record.offset)") }
            count += 1
          }
        } catch { Issue.record("\(words): \(error)") }
        position = records.nextOffset
      } catch {
        if isWhole { Issue.record("\(words): \(error)") }
        position = Offset(position.rawValue + 1)
      }
    }
    if isWhole { #expect(count == Self.batches, "\(words)") }
  }

  private func run(_ damage: FileDamage, on place: DamagedNode, _ base: String) throws {
    let words = "\(damage) on \(place)"
    try withTemporaryDirectory { directory in
      try copyTree(base, to: directory + "/case")
      let caseDirectory = directory + "/case"
      let leaderFiles = "\(caseDirectory)/leader/data/topics/plays-0"
      let followerFiles = "\(caseDirectory)/follower/data/topics/plays-0"
      switch place {
      case .startingFollower: guard try damage.happen(to: followerFiles) else { return }
      case .startingLeader, .formerLeader: guard try damage.happen(to: leaderFiles) else { return }
      default: break
      }
      let nodes = try Nodes(caseDirectory)
      var epoch: Int32 = 2
      if place == .formerLeader {
        try nodes.handOver(epoch)
      } else {
        try nodes.lead(epoch, damages: place == .startingLeader)
        if nodes.isFound {
          epoch += 1
          try nodes.handOver(epoch)
        } else {
          nodes.link = try Link(nodes.leader, nodes.follower, from: true)
        }
      }
      if place == .runningFollower || place == .runningLeader {
        #expect(try eventually { try nodes.link!.isSame() }, "\(words): \(nodes.link!.words)")
        guard try damage.happen(to: place == .runningLeader ? leaderFiles : followerFiles) else { return }
      }
      // Readers, scrubs and what is shipped find it; nobody reads anything wrong meanwhile.
      func settle() throws -> Bool {
        try expectRight(nodes.leader, isWhole: false, words)
        try expectRight(nodes.follower, isWhole: false, words)
        nodes.leader.store.shared.scrub?.runOnce()
        nodes.follower.store.shared.scrub?.runOnce()
        do { return try nodes.link!.isSame() } catch let error as StorageError {
          guard case .damaged = error, nodes.link!.leader === nodes.leader else { throw error }
          nodes.isFound = true
          return false
        } catch let error as SQLiteError {
          // The test's own look at the damaged leader's rows.
          guard error.isCorruption, nodes.link!.leader === nodes.leader else { throw error }
          return false
        }
      }
      func handOverIfDamaged() throws -> Bool {
        guard !nodes.told.isEmpty || nodes.isFound, nodes.link!.leader === nodes.leader else { return false }
        epoch += 1
        try nodes.handOver(epoch)
        return true
      }
      for _ in 0..<2 {
        _ = try settle()
        _ = try handOverIfDamaged()
      }
      #expect(
        try eventually {
          let isSame = try settle()
          if try handOverIfDamaged() { return false }
          return isSame
        }, "\(words): \(nodes.link!.words)")
      try expectRight(nodes.leader, isWhole: true, words)
      try expectRight(nodes.follower, isWhole: true, words)
      let producers = try nodes.link!.leader.log().producerStates()
      #expect(producers.map(\.producerID) == [0, 1, 2], "\(words)")
      #expect(producers.map(\.lastSequence) == (0..<3).map { Int32((Self.batches - 1 - $0) / 3) }, "\(words)")
      nodes.link!.close()
      // An orderly end, and what is on the disk then.
      let name = try nodes.leader.segmentNames().last!
      for store in [nodes.leader, nodes.follower] { try store.store.close() }
      let files = try [leaderFiles, followerFiles].map { try SegmentFiles.settled("\($0)/\(name)") }
      #expect(files[0] == files[1], "\(words): the active segments differ")
      for store in [nodes.leader, nodes.follower] {
        #expect(try findings(store.dataDirectory).damage == [], "\(words)")
      }
    }
  }

  private static let damages: [FileDamage] = {
    var all: [FileDamage] = []
    for page in 0..<12 {
      all += [0, 4000].map { FileDamage(file: .sealed, kind: .flip(page: page, at: $0)) }
      all += [0, 40, 4000].map { FileDamage(file: .active, kind: .flip(page: page, at: $0)) }
    }
    for frame in 0..<6 { all += [0, 24, 5000].map { FileDamage(file: .log, kind: .flip(page: frame, at: $0)) } }
    for file in [FileDamage.File.sealed, .active, .log] {
      all += [
        .cut(bytes: 1), .cut(bytes: 8192), .cut(bytes: 12_000), .keep(bytes: 0), .keep(bytes: 100), .keep(bytes: 8192),
        .missing,
      ].map {
        FileDamage(file: file, kind: $0)
      }
    }
    all.append(FileDamage(file: .log, kind: .flip(page: 0, at: -20)))
    all += [
      FileDamage(file: .sums, kind: .flip(page: 0, at: 60)), FileDamage(file: .sums, kind: .keep(bytes: 10)),
      FileDamage(file: .sums, kind: .missing),
    ]
    return all
  }()

  @Test("is found, healed from the other one, and never read wrong", arguments: DamagedNode.allCases)
  func healed(_ place: DamagedNode) throws {
    try withTemporaryDirectory { base in
      try Self.make(in: base)
      // All of them at each place take minutes: each is met at one.
      let first = try #require(DamagedNode.allCases.firstIndex(of: place))
      for index in stride(from: first, to: Self.damages.count, by: DamagedNode.allCases.count) {
        try run(Self.damages[index], on: place, base)
      }
    }
  }
}
