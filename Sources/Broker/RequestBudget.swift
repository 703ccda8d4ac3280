internal import NIOCore
internal import Synchronization

/// The memory that requests of one event loop's connections may take: those that have arrived in part, those that wait for their turn,
/// and those on their way to the disk.
///
/// When it is used up, no connection is read, but for one at a time that has begun to send a request: it may finish. Otherwise requests
/// of which a part has arrived would wait for each other's end for ever.
struct RequestBudget {
  let bytesMax: Int
  private(set) var used = 0
  /// Connections that would read if they might.
  var held: [ObjectIdentifier: Connection] = [:]
  /// The connection that may read although there is no room.
  var finishing: ObjectIdentifier?
  /// Bytes that `finishing` had sent of its request when it was looked at last, and since when it has not sent more.
  var finishingBytes = 0
  var finishingSince = NIODeadline.now()

  var isExhausted: Bool { used >= bytesMax }

  /// Bytes that reading a socket may bring before the budget is looked at again: four buffers of the largest size.
  static let bytesPerRead = 256 << 10
  /// How often a loop without room looks for what it can do about that.
  static let reliefInterval = TimeAmount.milliseconds(20)
  /// How long the connection that may finish may send nothing.
  var finishingPatience = TimeAmount.seconds(2)
  /// How long bytes of a request may lie, without a request of their connection being started, while others have no room: as
  /// long as clients wait for an answer.
  var patience = TimeAmount.seconds(30)

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  mutating func change(by bytes: Int) { used += bytes }
}

extension LoopState {
  func requestBytesChanged(by bytes: Int) {
    let wasExhausted = budget.isExhausted
    budget.change(by: bytes)
    queuedBytes.store(budget.used, ordering: .relaxed)
    if wasExhausted, !budget.isExhausted { eventLoop.execute { [self] in resumeHeld() } }
  }

  /// Remembers a connection that may not read now.
  func hold(_ connection: Connection) {
    budget.held[ObjectIdentifier(connection)] = connection
    guard budget.isExhausted, connection.wantsToRead else { return }
    if budget.finishing == nil, connection.arrivingBytes > 0 { letFinish(connection) }
    relieveLater()
  }

  func forget(_ connection: Connection) {
    budget.held.removeValue(forKey: ObjectIdentifier(connection))
    finished(connection)
  }

  /// The connection has sent the whole of a request, or has gone: another one may.
  func finished(_ connection: Connection) {
    guard budget.finishing == ObjectIdentifier(connection) else { return }
    budget.finishing = nil
    guard budget.isExhausted else { return }
    if let next = budget.held.values.first(where: { $0.wantsToRead && $0.arrivingBytes > 0 && $0 !== connection }) {
      letFinish(next)
    }
  }

  private func letFinish(_ connection: Connection) {
    budget.finishing = ObjectIdentifier(connection)
    budget.finishingBytes = connection.arrivingBytes
    budget.finishingSince = .now()
    // Not at once: this may be the middle of a read of its own.
    eventLoop.execute { connection.resumeReading() }
  }

  /// Reads those that wait to be read, as many as there is room for.
  private func resumeHeld() {
    var room = budget.bytesMax - budget.used
    for connection in Array(budget.held.values) where connection.wantsToRead {
      guard room > 0 else { return relieveLater() }
      connection.resumeReading()
      room -= RequestBudget.bytesPerRead
    }
  }

  private func relieveLater() {
    guard !isReliefScheduled else { return }
    isReliefScheduled = true
    eventLoop.scheduleTask(in: RequestBudget.reliefInterval) { [weak self] in
      self?.isReliefScheduled = false
      self?.relieve()
    }
  }

  private func relieve() {
    guard budget.isExhausted else { return resumeHeld() }
    let now = NIODeadline.now()
    if let id = budget.finishing, let connection = connections[id] {
      if connection.arrivingBytes != budget.finishingBytes {
        budget.finishingBytes = connection.arrivingBytes
        budget.finishingSince = now
      }
      // Nobody else may finish meanwhile: one after the other would begin, and stop, until there is no memory left.
      connection.closeIfStuck(since: now - budget.finishingPatience, lastSent: budget.finishingSince)
    }
    for connection in Array(connections.values) { connection.closeIfStuck(since: now - budget.patience) }
    if budget.finishing == nil, let next = budget.held.values.first(where: { $0.wantsToRead && $0.arrivingBytes > 0 }) {
      letFinish(next)
    }
    relieveLater()
  }
}
