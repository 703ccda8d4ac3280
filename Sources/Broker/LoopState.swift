internal import NIOCore
internal import Storage
internal import Synchronization

/// What the connections of one event loop share: appends waiting to be submitted, replies waiting to be flushed, parked fetches.
// Safe because: every stored property but the atomic is read and written on the event loop only; `appendsCompleted` and `wake` hop
// onto it first.
final class LoopState: AppendReceiver, @unchecked Sendable {
  let eventLoop: any EventLoop
  private let store: LogStore
  var connections: [ObjectIdentifier: Connection] = [:]
  var budget: RequestBudget
  var isReliefScheduled = false
  /// What `budget` has used, for the metrics.
  let queuedBytes = Atomic<Int>(0)
  let parked = ParkedFetches()
  private var appends: [AppendRequest] = []
  private var dirty: [ObjectIdentifier: Connection] = [:]
  private var isFlushScheduled = false
  /// The broker stops: nothing new is begun, nobody waits any longer.
  private(set) var isDraining = false

  init(eventLoop: any EventLoop, store: LogStore, requestBytesMax: Int) {
    self.eventLoop = eventLoop
    self.store = store
    budget = RequestBudget(bytesMax: requestBytesMax)
  }

  /// Ends the waits, lets the requests under way finish, closes every connection.
  func drain() {
    isDraining = true
    parked.wakeAll()
    for connection in Array(connections.values) { connection.drain() }
  }

  /// Collects an append until the end of the read cycle: one lock and at most one wake-up of the lane for all of them.
  func enqueue(_ append: AppendRequest) { appends.append(append) }

  func submitAppends() {
    guard !appends.isEmpty else { return }
    let batch = appends
    appends = []
    store.append(batch)
  }

  /// On the storage lane: hops once for the whole group.
  func appendsCompleted(_ group: [AppendRequest]) {
    eventLoop.execute { [self] in
      isFlushScheduled = true
      for append in group { (append.context as? ProducePart)?.finish(append.outcome) }
      flushDirty()
    }
  }

  /// Sends the connection's replies at the end of this turn of the loop, together with those of others.
  func flushLater(_ connection: Connection) {
    dirty[ObjectIdentifier(connection)] = connection
    guard !isFlushScheduled else { return }
    isFlushScheduled = true
    eventLoop.execute { [self] in flushDirty() }
  }

  private func flushDirty() {
    isFlushScheduled = false
    guard !dirty.isEmpty else { return }
    let connections = dirty.values
    dirty = [:]
    for connection in connections { connection.flush() }
  }
}
