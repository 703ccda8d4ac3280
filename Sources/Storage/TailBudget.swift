internal import Synchronization

/// The memory of all log tails of a lane: the partition that was appended to longest ago gives first.
struct TailBudget {
  private struct Entry {
    var log: PartitionLog
    var bytes: Int
    var lastAppend: UInt64
  }
  private let bytesMax: Int
  let bytesPerPartitionMax: Int
  private var entries: [ObjectIdentifier: Entry] = [:]
  private var bytes = 0
  private var appendCounter: UInt64 = 0

  init(bytesMax: Int, bytesPerPartitionMax: Int) {
    self.bytesMax = bytesMax
    self.bytesPerPartitionMax = bytesPerPartitionMax
  }

  /// Notes that the tail of `log` holds `tailBytes` now, after an append to it.
  mutating func note(_ log: PartitionLog, tailBytes: Int) {
    appendCounter += 1
    bytes += tailBytes - (entries[ObjectIdentifier(log)]?.bytes ?? 0)
    entries[ObjectIdentifier(log)] = tailBytes > 0 ? Entry(log: log, bytes: tailBytes, lastAppend: appendCounter) : nil
    while bytes > bytesMax, let (id, oldest) = entries.min(by: { $0.value.lastAppend < $1.value.lastAppend }) {
      let left = oldest.log.shared.withLock { shared in
        while shared.tail.byteCount > 0, bytes - (oldest.bytes - shared.tail.byteCount) > bytesMax {
          _ = shared.tail.removeOldest()
        }
        return shared.tail.byteCount
      }
      bytes -= oldest.bytes - left
      if left > 0 { entries[id]?.bytes = left } else { entries[id] = nil }
    }
  }
}
