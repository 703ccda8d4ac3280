import Model
import NIOCore
import Pages
import Shipping
import Storage

/// The partitions of this node as followers are sent them.
struct LedPartitions: ReplicaSources {
  let store: LogStore
  /// A follower wants to be one of this node's.
  var admission: @Sendable (PeerIdentity) throws(PeerRefusal) -> Void = { _ throws(PeerRefusal) in }
  /// Another node was promoted: makes durable that this one leads no longer.
  let fence: @Sendable (PeerIdentity) throws(PeerRefusal) -> Void

  func openSource(
    of partition: TopicPartition, topicID: TopicID, follower: NodeID, from standing: FollowerStanding?,
    notify: @escaping @Sendable () -> Void
  ) throws(PeerRefusal) -> any ReplicaSource {
    if let log = store.partition(partition), log.topicID == topicID, log.isReplica {
      throw PeerRefusal(.notLeader, "\(partition) is led elsewhere")
    }
    do throws(StorageError) {
      return LedPartition(
        try store.openFeed(
          of: partition, topicID: topicID, follower: follower, from: standing.map { ReplicaStanding($0) }, notify: notify))
    } catch { throw PeerRefusal(error) }
  }

  func admit(_ follower: PeerIdentity) throws(PeerRefusal) { try admission(follower) }

  func fence(by peer: PeerIdentity) throws(PeerRefusal) { try fence(peer) }
}

/// One of them, for one follower.
private final class LedPartition: ReplicaSource {
  private let feed: ReplicaFeed

  init(_ feed: ReplicaFeed) { self.feed = feed }

  func next(maxBytes: Int) throws(PeerRefusal) -> ReplicaChange? {
    do throws(StorageError) {
      return switch try feed.next(maxBytes: maxBytes) {
      case .pages(let set): .pages(set)
      case .wantsPageHashes(let base): .wantsPageHashes(segmentBase: base)
      case .highWatermark(let offset): .highWatermark(offset)
      case nil: nil
      }
    } catch { throw PeerRefusal(error) }
  }

  func pageHashes(segmentBase: Int64, _ hashes: [UInt64]) throws(PeerRefusal) {
    feed.pageHashes(segmentBase: segmentBase, hashes)
  }

  func acknowledged(_ position: CommitPosition, isComplete: Bool) {
    feed.acknowledged(position, isComplete: isComplete)
  }

  func readFile(base: Int64, generation: Int64, offset: Int64, maxBytes: Int) throws(PeerRefusal) -> FileBytes {
    do throws(StorageError) {
      var bytes = ByteBuffer()
      let total = try feed.readFile(base: base, generation: generation, offset: offset, maxBytes: maxBytes) {
        bytes = ByteBuffer(bytes: $0)
      }
      return FileBytes(bytes: bytes, totalBytes: total)
    } catch { throw PeerRefusal(error) }
  }

  func close() { feed.close() }
}

extension PeerRefusal {
  init(_ error: StorageError) {
    let code: Code =
      switch error {
      case .unknownPartition: .unknownPartition
      case .notLeader: .notLeader
      case .closed: .stopping
      default: .storage
      }
    self.init(code, "\(error)")
  }
}

extension ReplicaStanding {
  init(_ standing: FollowerStanding) {
    self.init(position: standing.position, sum: standing.sum, pageCount: standing.pageCount)
  }
}
