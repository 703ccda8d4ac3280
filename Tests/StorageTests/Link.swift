import Model
import Pages
import TestSupport

@testable import Storage

/// A leader's feed and a follower, as a connection would join them.
final class Link {
  let leader: TestStore
  let follower: TestStore
  private(set) var replica: FollowerPartition
  private var feed: ReplicaFeed
  private(set) var resyncs = 0

  /// - Parameter standing: of the follower, where its pages are not to be thrown away.
  init(_ leader: TestStore, _ follower: TestStore, from standing: Bool = false) throws {
    (self.leader, self.follower) = (leader, follower)
    replica = try Pair.open(follower)
    feed = try Self.feed(of: leader, to: follower, from: standing ? replica.standing : nil)
  }

  deinit { close() }

  /// As a connection that ends.
  func close() { feed.close() }

  private static func feed(
    of leader: TestStore, to follower: TestStore, from standing: ReplicaStanding?
  ) throws -> ReplicaFeed {
    let id = follower.options.nodeID == leader.options.nodeID ? NodeID(2) : follower.options.nodeID
    return try leader.store.openFeed(
      of: TestStore.name(), topicID: TestStore.topicID, follower: id, from: standing, notify: {})
  }

  /// A connection that broke, or a follower that was started anew.
  func reconnect() throws {
    feed.close()
    feed = try Self.feed(of: leader, to: follower, from: replica.standing)
  }

  func restartFollower() throws {
    try follower.reopen(attaching: [])
    replica = try Pair.open(follower)
    try reconnect()
  }

  /// Takes what there is at the moment.
  ///
  /// - Parameter loses: whether the next set is lost on its way.
  func pump(maxBytes: Int = 1 << 20, loses: () -> Bool = { false }) throws {
    if replica.takeWishToBegin() { try reconnect() }
    while let change = try feed.next(maxBytes: maxBytes) {
      switch change {
      case .pages(let set):
        if loses() { continue }
        if set.header.flags.contains(.resync) { resyncs += 1 }
        do throws(ReplicaError) { try replica.apply(set) } catch {
          guard case .diverged = error else { throw error }
          try reconnect()
        }
      case .wantsPageHashes(let base): feed.pageHashes(segmentBase: base, try replica.pageHashes(segmentBase: base))
      case .highWatermark(let offset):
        _ = try replica.sync()
        replica.raiseHighWatermark(to: offset)
      }
    }
    if let position = try replica.sync() { feed.acknowledged(position, isComplete: replica.isComplete) }
  }

  func copyFiles() throws {
    for wanted in replica.wantedFiles {
      var have = wanted.have
      do throws(StorageError) {
        while true {
          let piece = try feed.readFile(base: wanted.base, generation: wanted.generation, offset: have, maxBytes: 20_000)
          try replica.writeFile(
            base: wanted.base, generation: wanted.generation, offset: have, total: piece.total, piece.bytes)
          have += Int64(piece.bytes.count)
          if piece.bytes.isEmpty || have >= piece.total { break }
        }
      } catch {
        // Retention was faster.
        guard case .refused = error else { throw error }
      }
    }
  }

  /// How they stand, for whoever wonders why they are not the same.
  var words: String {
    let segments = replica.locked {
      replica.older.map {
        "\($0.name.fileName) \($0.stage) ends \($0.end) of \($0.record.endOffset), \(String(describing: $0.record.seal))"
      }
    }
    return """
      leader \((try? leader.segmentNames()) ?? []) \(String(describing: leader.log().offsets)) sealed \((try? Pair.sealed(leader)) ?? [])
      follower \((try? follower.segmentNames()) ?? []) \(String(describing: follower.log().offsets)) wants \(replica.wantedFiles)
      \(segments.joined(separator: "\n"))
      """
  }

  /// Both have the same segments, the sealed ones byte for byte, and the follower shows all that the leader has.
  func isSame() throws -> Bool {
    try pump()
    try copyFiles()
    let names = try leader.segmentNames()
    let (ours, theirs) = (leader.partitionDirectory(), follower.partitionDirectory())
    // With the last seal the leader has nothing more to write by itself.
    guard try follower.segmentNames() == names, replica.wantedFiles.isEmpty,
      follower.log().offsets == leader.log().offsets, try Pair.sealed(leader).count == names.count - 1
    else { return false }
    return names.dropLast().allSatisfy { name in
      !fileExists("\(ours)/\(name)-wal") && !fileExists("\(theirs)/\(name)-wal")
        && storedBytes("\(ours)/\(name)") == storedBytes("\(theirs)/\(name)")
    }
  }
}
