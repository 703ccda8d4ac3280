internal import Synchronization

/// Scratch objects for callers that have none of their own: validation runs on whatever thread a request came in on.
enum ScratchPool {
  /// Kept when nobody uses them; as many as there are ever threads that validate at once on a usual machine.
  private static let keptMax = 16

  // Safe because: a scratch object is in the pool or with the one caller that took it out, never both.
  private struct Parked: @unchecked Sendable {
    let scratch: RecordScratch
  }
  private static let parked = Mutex<[Parked]>([])

  static func take() -> RecordScratch {
    let found = parked.withLock { $0.popLast() }
    return found?.scratch ?? RecordScratch()
  }

  static func giveBack(_ scratch: RecordScratch) {
    scratch.close()
    let parcel = Parked(scratch: scratch)
    parked.withLock { if $0.count < keptMax { $0.append(parcel) } }
  }
}
