import Glibc
import Logging
import Model
import NIOCore
import Records
import Storage
import Synchronization

/// Appends batches as fast as the storage lanes take them: group commit, one fdatasync for each touched WAL, checkpoints, log tail.
///
/// Validation, network and client are left out; what is left is compared with a C loop that does the same to SQLite.
final class AppendBench {
  private let store: LogStore
  private let logs: [PartitionLog]
  private let batches: [(records: ByteBuffer, summary: [BatchSummary])]
  private let tally: Tally

  /// Bytes handed over and not yet durable: as much as one connection may have in flight.
  private static let bytesInFlight = Limits.produceBytesInFlightPerConnectionMax

  init(directory: String, partitions: Int, batchBytes: Int) throws {
    let options = StoreOptions(dataDirectory: directory, nodeID: NodeID(1))
    store = try LogStore.open(options, logger: Logger(label: "bench"), now: milliseconds)
    var logs: [PartitionLog] = []
    for number in 0..<partitions {
      let place = TopicPartition(topic: "bench", partition: Int32(number))
      try store.createPartition(
        place, topicID: TopicID(high: 1, low: 1), leaderEpoch: LeaderEpoch(0), configuration: TopicConfiguration())
      logs.append(store.partition(place)!)
    }
    self.logs = logs
    var batches: [(ByteBuffer, [BatchSummary])] = []
    let rules = ValidationRules(configuration: TopicConfiguration(), now: milliseconds())
    for _ in 0..<max(16, Self.bytesInFlight / batchBytes) {
      batches.append(try BatchValidator.validate(Self.batch(bytes: batchBytes), rules: rules))
    }
    self.batches = batches
    tally = Tally(free: batches.indices.map { $0 })
  }

  /// Records of 100 bytes, about as many as fill a batch.
  private static func batch(bytes: Int) throws -> ByteBuffer {
    var builder = BatchBuilder()
    let now = milliseconds()
    let value = ByteBuffer(bytes: (0..<100).map { UInt8(97 + $0 % 26) })
    while builder.isEmpty || builder.uncompressedBytes + 112 <= bytes {
      builder.append(key: nil, value: value, timestamp: now)
    }
    return try builder.build()
  }

  /// - Returns: what was measured, as JSON.
  func run(totalBytes: Int) throws -> String {
    let start = monotonicSeconds()
    var sent = 0
    var next = 0
    while sent < totalBytes {
      let free = tally.take()
      var requests: [AppendRequest] = []
      requests.reserveCapacity(free.count)
      for index in free {
        let batch = batches[index]
        requests.append(
          AppendRequest(
            partition: logs[next], records: batch.records, batches: batch.summary, requiredAcks: -1, receiver: tally,
            context: BatchNumber(index)))
        next = (next + 1) % logs.count
        sent += batch.records.readableBytes
      }
      store.append(requests)
    }
    tally.waitForAll(batches.count)
    let seconds = monotonicSeconds() - start
    let measured = tally.measured()
    let cpu = Double(clock()) / 1e6
    if let failure = measured.failure { throw BenchFailure(description: failure) }
    try store.close()
    return """
      {"seconds": \(seconds), "bytes": \(sent), "bytes_per_second": \(Double(sent) / seconds), "groups": \(measured.groups), \
      "longest_stall_ms": \(measured.longestGap * 1e3), "cpu_seconds": \(cpu)}
      """
  }
}

struct BenchFailure: Error, CustomStringConvertible { let description: String }

/// Which of the prepared batches an append carries.
final class BatchNumber: Sendable {
  let index: Int
  init(_ index: Int) { self.index = index }
}

/// What has come back from the lanes.
final class Tally: AppendReceiver {
  struct State {
    var free: [Int]
    var groups = 0
    var lastGroup = 0.0
    var longestGap = 0.0
    var failure: String?
  }
  private let state: Mutex<State>
  private let available = Gate()

  init(free: [Int]) { state = Mutex(State(free: free)) }

  func appendsCompleted(_ group: [AppendRequest]) {
    let now = monotonicSeconds()
    state.withLock { state in
      for append in group {
        if let number = append.context as? BatchNumber { state.free.append(number.index) }
        if case .rejected(let code, let message) = append.outcome { state.failure = "\(code): \(message)" }
      }
      if state.groups > 0 { state.longestGap = max(state.longestGap, now - state.lastGroup) }
      state.groups += 1
      state.lastGroup = now
    }
    available.open()
  }

  /// Waits until some batches are free, and takes them all.
  func take() -> [Int] {
    while true {
      let free = state.withLock { state in
        defer { state.free = [] }
        return state.free
      }
      if !free.isEmpty { return free }
      available.wait()
    }
  }

  /// Gives back a batch that was not needed.
  func give(_ index: Int) {
    state.withLock { $0.free.append(index) }
    available.open()
  }

  func waitForAll(_ count: Int) {
    while state.withLock({ $0.free.count }) < count { available.wait() }
  }

  func measured() -> State { state.withLock { $0 } }
}

/// Wakes one waiting thread.
// Safe because: the semaphore is made once and only ever waited for and posted.
final class Gate: @unchecked Sendable {
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
  init() { sem_init(semaphore, 0, 0) }
  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }
  func open() { sem_post(semaphore) }
  func wait() { while sem_wait(semaphore) != 0 {} }
}

private let began = ContinuousClock.now

/// Since the process began.
func monotonicSeconds() -> Double { (ContinuousClock.now - began) / .seconds(1) }

/// Since 1970.
@Sendable func milliseconds() -> Int64 { Int64(time(nil)) * 1000 }
