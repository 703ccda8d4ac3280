import Model
import SQLite
import Synchronization
import TestSupport
import Testing

@testable import Storage

@Suite("Who works for a replica") struct ReplicaWaitingTests {
  @Test("on a segment's pages is not waited for by whoever lets go of a feed, and does then what that left to be done")
  func feed() throws {
    try withStore { store in
      try store.create()
      try store.append(["a"])
      let follower = PageFollower()
      let feed = try follower.follow(store)
      #expect(try follower.isSame(as: store, feed))
      let log = store.log()
      let handover = Handover<SegmentCapture?>()
      store.store.shared.lane(of: log).submit {
        handover.give($0.loadedWriter(of: log)?.capture)
      } orElse: {
        handover.give(nil)
      }
      let capture = try #require(handover.take())
      capture.work.lock()
      #expect(capture.cursors.count == 1)
      let isClosed = Atomic(false)
      let thread = StorageThread("closing") {
        feed.close()
        isClosed.store(true, ordering: .releasing)
      }
      #expect(eventually { isClosed.load(ordering: .acquiring) })
      #expect(capture.cursors.count == 1)
      capture.endWork()
      thread.join()
      #expect(capture.work.withLock { capture.cursors.isEmpty })
    }
  }

  @Test("on a follower's pages keeps nobody from writing down the high watermarks")
  func maintenance() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      try pair.follower.create(1)
      let node = try Connection(path: pair.follower.dataDirectory + "/quire.db", mode: .readOnly)
      defer { node.close() }
      pair.replica.monitor.lock()
      defer { pair.replica.monitor.unlock() }
      for count in 1...5 as ClosedRange<Int64> {
        try pair.follower.append(["b"], 1)
        let isWritten = try eventually {
          try node.integer("SELECT high_watermark FROM partition_checkpoint WHERE partition = 1") == count
        }
        #expect(isWritten)
        if !isWritten { break }
      }
    }
  }

  @Test("as a follower comes too late when the store has been closed")
  func closing() throws {
    try withPair { pair in
      try pair.leader.append(["a"])
      try pair.catchUp()
      pair.replica.close()
      pair.follower.store.shared.closeFollowers()
      #expect(throws: StorageError.self) { try Pair.open(pair.follower) }
    }
  }
}
