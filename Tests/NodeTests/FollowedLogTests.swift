import Coordination
import Glibc
import HistorySupport
import Logging
import Model
import NIOCore
import NIOPosix
import Records
import Shipping
import Storage
import Synchronization
import TestSupport
import Testing

@testable import Node

private let now: Int64 = 1_700_000_000_000
private let topicID = TopicID(high: 4, low: 2)
private let partitions = (Int32(0)..<3).map { TopicPartition(topic: "plays", partition: $0) }
private let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

private var configuration: TopicConfiguration {
  var configuration = TopicConfiguration()
  configuration.segmentBytes = 16 << 10
  configuration.timestampAfterMaxMilliseconds = .max
  return configuration
}

private func openStore(_ directory: String, _ node: Int32) throws -> LogStore {
  var options = StoreOptions(dataDirectory: directory, nodeID: NodeID(node))
  options.checkpointBytes = 64 << 10
  return try LogStore.open(options, logger: quiet, now: { now })
}

/// A node that takes records.
private final class Leader: Sendable {
  let store: LogStore
  let directory: String
  private let ends = Mutex<[Int32: Int64]>([:])

  init(_ directory: String) throws {
    self.directory = directory
    store = try openStore(directory, 1)
    for partition in partitions {
      try store.createPartition(partition, topicID: topicID, leaderEpoch: .zero, configuration: configuration)
    }
  }

  private final class Arrival: AppendReceiver {
    private let isThere = Mutex(false)
    func appendsCompleted(_ group: [AppendRequest]) { isThere.withLock { $0 = true } }
    func wait() { while !isThere.withLock({ $0 }) { usleep(100) } }
  }

  /// Ten records for each partition, and waits until they are appended.
  func append() throws {
    for partition in partitions {
      let log = try #require(store.partition(partition))
      let start = ends.withLock { $0[partition.partition, default: 0] }
      let records = (0..<10).map { TestRecord(now + start + $0, "\(partition.partition) \(start + $0)", key: "k") }
      let (bytes, summaries) = try BatchValidator.validate(
        try MemoryHistory.Batch(records, at: 0).bytes, rules: ValidationRules(configuration: log.configuration, now: now))
      let arrival = Arrival()
      let request = AppendRequest(
        partition: log, records: bytes, batches: summaries, requiredAcks: -1, receiver: arrival, context: nil)
      store.append([request])
      arrival.wait()
      guard case .appended = request.outcome else { throw Failure("append: \(request.outcome)") }
      ends.withLock { $0[partition.partition] = start + 10 }
    }
  }

  func end(of partition: TopicPartition) -> Int64 { ends.withLock { $0[partition.partition, default: 0] } }

  func listen(on port: Int = 0) async throws -> PeerListener {
    let end = ContinuousClock.now + .seconds(60)
    while true {
      do {
        return try await PeerListener.start(
          PeerListener.Configuration(host: "127.0.0.1", port: port, secret: nil),
          identity: PeerIdentity(node: NodeID(1), clusterID: "c", leaderEpoch: LeaderEpoch(1)),
          sources: LedPartitions(
            store: store, fence: { (_) throws(PeerRefusal) in throw PeerRefusal(.staleEpoch, "not here") }),
          on: MultiThreadedEventLoopGroup.singleton, logger: quiet)
      } catch {
        // A port that was given back may be anybody's for a moment.
        guard port != 0, ContinuousClock.now < end else { throw error }
        try await Task.sleep(for: .milliseconds(50))
      }
    }
  }
}

/// A node that follows it.
private struct Follower {
  let store: LogStore
  let client: PeerClient

  init(_ directory: String, port: Int) throws {
    store = try openStore(directory, 2)
    client = PeerClient.start(
      PeerClient.Configuration(leader: HostPort(host: "127.0.0.1", port: port), secret: nil),
      identity: PeerIdentity(node: NodeID(2), clusterID: "c", leaderEpoch: LeaderEpoch(1)),
      on: MultiThreadedEventLoopGroup.singleton, logger: quiet, listener: { _ in })
    for partition in partitions {
      client.follow(
        partition, topicID: topicID,
        into: FollowedLog(try store.openReplica(of: partition, topicID: topicID, configuration: configuration)))
    }
  }

  func stop() async throws {
    await client.stop()
    try store.close()
  }

  func end(of partition: TopicPartition) -> Int64 { store.partition(partition)?.offsets?.highWatermark.rawValue ?? 0 }
}

private struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

private func eventually(_ what: String, _ condition: () throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(90)
  while try !condition() {
    guard ContinuousClock.now < deadline else { throw Failure("never: \(what)") }
    try await Task.sleep(for: .milliseconds(5))
  }
}

@Suite("A node that follows another over its peer port")
struct FollowedLogTests {
  @Test("has what the other has, segment by segment the same bytes, also after either end was away")
  func samePages() async throws {
    try await withTemporaryDirectory { directory in try await follow(in: directory) }
  }

  @Test("has the coordinator's shards too: led by it, they have the groups, and every offset that was committed")
  func coordinator() async throws {
    try await withTemporaryDirectory { directory in try await takeOver(in: directory) }
  }

  private func takeOver(in directory: String) async throws {
    let shardCount = 2
    let leader = try Leader(directory + "/leader")
    try leader.store.leadCoordinator(shardCount: shardCount)
    let groups = CoordinatorStore(leader.store, shardCount: shardCount)
    func commit(_ offset: Int64, of group: String, in store: CoordinatorStore) throws {
      let committed = CommittedOffset(
        offset: offset, leaderEpoch: -1, metadata: "", commitTimestamp: now, expireTimestamp: nil)
      try store.apply(
        [GroupChanges(groupID: group, changes: [.offsetCommitted(partitions[0], committed)])], to: store.shard(of: group))
    }
    let listener = try await leader.listen()
    let store = try openStore(directory + "/follower", 2)
    let client = PeerClient.start(
      PeerClient.Configuration(leader: HostPort(host: "127.0.0.1", port: listener.address.port!), secret: nil),
      identity: PeerIdentity(node: NodeID(2), clusterID: "c", leaderEpoch: LeaderEpoch(1)),
      on: MultiThreadedEventLoopGroup.singleton, logger: quiet, listener: { _ in })
    var replicas: [FollowerPartition] = []
    for shard in 0..<shardCount {
      let name = CoordinatorTopic.partition(shard)
      let replica = try store.openReplica(of: name, topicID: CoordinatorTopic.id, configuration: configuration)
      replicas.append(replica)
      client.follow(name, topicID: CoordinatorTopic.id, into: FollowedLog(replica))
    }
    try await eventually("the follower has what was there") { replicas.allSatisfy { $0.standing != nil } }
    // From here on a commit is answered when both have it.
    for shard in 0..<shardCount {
      try leader.store.setReplicas(
        of: CoordinatorTopic.partition(shard), topicID: CoordinatorTopic.id,
        ReplicaSet(replicas: [NodeID(1), NodeID(2)], inSync: [NodeID(1), NodeID(2)], isFixed: true))
    }
    var expected: [String: Int64] = [:]
    for number in 0..<100 {
      let group = "group \(number % 20)"
      try commit(Int64(number), of: group, in: groups)
      expected[group] = Int64(number)
    }
    // The leader is gone from one moment to the next; what it answered is here.
    await listener.stop()
    await client.stop()
    for replica in replicas { try replica.promote(to: LeaderEpoch(1)) }
    let next = CoordinatorStore(store, shardCount: shardCount)
    var found: [String: Int64] = [:]
    for shard in 0..<shardCount {
      for group in try next.load(shard: shard) { found[group.groupID] = group.offsets[partitions[0]]?.offset }
    }
    #expect(found == expected)
    try commit(1_000, of: "group 3", in: next)
    try store.close()
    try leader.store.close()
    #expect(try OfflineStore(dataDirectory: directory + "/follower").groups().count == 20)
  }

  private func follow(in directory: String) async throws {
    let leader = try Leader(directory + "/leader")
    try leader.append()
    var listener = try await leader.listen()
    let port = listener.address.port!
    var follower = try Follower(directory + "/follower", port: port)
    for _ in 0..<40 { try leader.append() }
    try await caughtUp(leader, follower)
    // The leader's port is closed for a while.
    await listener.stop()
    for _ in 0..<20 { try leader.append() }
    listener = try await leader.listen(on: port)
    try await caughtUp(leader, follower)
    // The follower is.
    try await follower.stop()
    for _ in 0..<120 { try leader.append() }
    follower = try Follower(directory + "/follower", port: port)
    try await caughtUp(leader, follower)
    // What is appended after that comes one commit after the other.
    for _ in 0..<5 { try leader.append() }
    try await caughtUp(leader, follower)
    // Sealed segments come as files, or are sealed here, beside that.
    try await eventually("every segment is here") {
      try partitions.allSatisfy { partition in
        let ours = try segments(directory + "/leader", partition)
        let theirs = try segments(directory + "/follower", partition)
        return ours.all == theirs.all && ours.isSealed && theirs.isSealed
      }
    }
    try await follower.stop()
    await listener.stop()
    try leader.store.close()
    for partition in partitions {
      let (ours, theirs) = ("\(directory)/leader/topics/\(partition)", "\(directory)/follower/topics/\(partition)")
      let names = try segments(directory + "/leader", partition).all
      #expect(names.count > 1, "segments rolled")
      for name in names.dropLast() {
        #expect(try content("\(ours)/\(name)") == content("\(theirs)/\(name)"), "\(partition) \(name)")
      }
    }
  }

  /// The segments of a partition, and whether all but the newest are without a -wal.
  private func segments(_ node: String, _ partition: TopicPartition) throws -> (all: [String], isSealed: Bool) {
    let files = try directoryEntries("\(node)/topics/\(partition)").sorted()
    let all = files.filter { $0.hasSuffix(".db") }
    return (all, all.dropLast().allSatisfy { !files.contains($0 + "-wal") })
  }

  private func content(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count <= 0 { return bytes }
      bytes += piece[..<count]
    }
  }

  private func caughtUp(_ leader: Leader, _ follower: Follower) async throws {
    for partition in partitions {
      try await eventually("\(partition) has \(leader.end(of: partition)), \(follower.end(of: partition)) of them here") {
        follower.end(of: partition) == leader.end(of: partition)
      }
    }
  }
}
