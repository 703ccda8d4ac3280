import Model
import Pages
import Shipping
import Storage

/// One partition that this node follows, as what comes from its leader is written to it.
final class FollowedLog: ReplicaSink {
  private let follower: FollowerPartition

  init(_ follower: FollowerPartition) { self.follower = follower }

  var standing: FollowerStanding? {
    follower.standing.map { FollowerStanding(position: $0.position, sum: $0.sum, pageCount: $0.pageCount) }
  }

  var wantedFiles: [WantedFile] {
    follower.wantedFiles.map { WantedFile(base: $0.base, generation: $0.generation, have: $0.have) }
  }

  var isComplete: Bool { follower.isComplete }
  func takeWishToBegin() -> Bool { follower.takeWishToBegin() }
  func setObserver(_ observer: @escaping @Sendable () -> Void) { follower.setObserver(observer) }

  func apply(_ set: PageSet) throws(SinkError) {
    do throws(ReplicaError) { try follower.apply(set) } catch {
      if case .diverged(let difference) = error { throw .diverged("\(difference)") }
      throw .failed("\(error)")
    }
  }

  func sync() throws(SinkError) -> CommitPosition? {
    do throws(StorageError) { return try follower.sync() } catch { throw .failed("\(error)") }
  }

  func raiseHighWatermark(to offset: Offset) { follower.raiseHighWatermark(to: offset) }

  func pageHashes(segmentBase: Int64) throws(SinkError) -> [UInt64] {
    do throws(StorageError) { return try follower.pageHashes(segmentBase: segmentBase) } catch { throw .failed("\(error)") }
  }

  func writeFile(
    base: Int64, generation: Int64, offset: Int64, totalBytes: Int64, _ bytes: UnsafeRawBufferPointer
  ) throws(SinkError) {
    do throws(StorageError) {
      try follower.writeFile(base: base, generation: generation, offset: offset, total: totalBytes, bytes)
    } catch { throw .failed("\(error)") }
  }

  func close() { follower.close() }
}
