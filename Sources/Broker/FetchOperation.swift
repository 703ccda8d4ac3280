internal import KafkaProtocol
internal import Model
internal import NIOCore
internal import Storage

/// One fetch under way (KIP-74): reads what is there, waits for more if that is too little, answers.
///
/// ```
///   gather (log tail in memory, on the loop) ──► cold partitions? ──► read thread ──► back on the loop
///        ▲                                                                                   │
///        └── high watermark moved ◄── parked until enough bytes or the deadline ◄── too little
/// ```
// Safe because: it lives on its connection's event loop; a read thread gets values and hands values back.
final class FetchOperation: @unchecked Sendable {
  private let call: Call
  private let broker: BrokerContext
  private let plan: FetchSessions.Plan
  private let bytesMin: Int
  private let bytesMax: Int
  private let deadline: NIODeadline
  private let parts: [Part]
  private var results: [PartResult]
  private var parkedOn: [PartitionLog] = []
  private var isParked = false
  private var timer: Scheduled<Void>?
  private var isAnswered = false
  private var hasTimedOut = false
  /// High watermarks up to which waiting has been decided, by part.
  private var knownHighWatermarks: [Int64]

  /// A partition asked for, and its log where there is one.
  struct Part: Sendable {
    var interest: FetchInterest
    var log: PartitionLog?
    /// Found before reading: unknown topic, fenced epoch, a codec the client cannot read.
    var error: ErrorCode?
  }

  struct PartResult: Sendable {
    var error = ErrorCode.none
    var highWatermark: Int64 = -1
    var logStartOffset: Int64 = -1
    var chunks: [ByteBuffer] = []
    var byteCount = 0
    var diverging: (epoch: Int32, endOffset: Int64)?
  }

  init(call: Call, broker: BrokerContext, request: FetchRequest, plan: FetchSessions.Plan, parts: [Part]) {
    self.call = call
    self.broker = broker
    self.plan = plan
    self.parts = parts
    bytesMax = min(max(Int(request.maxBytes), 0), Limits.fetchBytesMax)
    bytesMin = min(Int(request.minBytes), bytesMax)
    deadline = .now() + .milliseconds(Int64(max(request.maxWaitMs, 0)))
    results = Array(repeating: PartResult(), count: parts.count)
    knownHighWatermarks = Array(repeating: -1, count: parts.count)
  }

  private var loop: LoopState { call.connection.loop }

  /// Reads what memory holds; goes to a read thread for the rest.
  func gather() {
    var budget = bytesMax
    var isFirst = true
    var cold: [Int] = []
    for (index, part) in parts.enumerated() {
      results[index] = PartResult()
      if let error = part.error {
        results[index].error = error
        continue
      }
      guard let log = part.log, let offsets = log.offsets else {
        cold.append(index)
        continue
      }
      let interest = part.interest
      results[index].highWatermark = offsets.highWatermark.rawValue
      results[index].logStartOffset = offsets.logStartOffset.rawValue
      if let error = epochError(interest.currentLeaderEpoch, offsets.leaderEpoch) {
        results[index].error = error
        continue
      }
      if interest.lastFetchedEpoch >= 0 {
        cold.append(index)
        continue
      }
      guard interest.offset >= offsets.logStartOffset.rawValue, interest.offset <= offsets.logEndOffset.rawValue else {
        results[index].error = .offsetOutOfRange
        continue
      }
      guard interest.offset < offsets.highWatermark.rawValue else { continue }
      guard isFirst || budget > 0 else { continue }
      let room = min(budget, Int(max(interest.bytesMax, 0)))
      switch log.readTail(from: Offset(interest.offset), maxBytes: room) {
      case .batches(let records):
        if records.byteCount > room, !isFirst { continue }
        results[index].chunks = records.chunks
        results[index].byteCount = records.byteCount
        budget -= records.byteCount
        isFirst = false
      case .atEnd:
        continue
      case .notInMemory:
        cold.append(index)
      }
    }
    if cold.isEmpty { decide() } else { readCold(cold, budget: budget, isFirst: isFirst) }
  }

  /// Reads the partitions that memory does not hold, in the order of the request, on one read thread.
  private func readCold(_ cold: [Int], budget: Int, isFirst: Bool) {
    let asked = cold.map { ($0, parts[$0]) }
    broker.store.runOnReadThread { [self] in
      var budget = budget
      var isFirst = isFirst
      var found: [(Int, PartResult)] = []
      for (index, part) in asked {
        guard let log = part.log else { continue }
        let result = Self.read(part.interest, log, room: min(budget, Int(max(part.interest.bytesMax, 0))), isFirst: isFirst)
        if result.byteCount > 0 {
          budget -= result.byteCount
          isFirst = false
        }
        found.append((index, result))
      }
      let results = found
      loop.eventLoop.execute { [self] in
        for (index, result) in results { self.results[index] = result }
        decide()
      }
    }
  }

  /// On a read thread: one partition from its segments.
  private static func read(_ interest: FetchInterest, _ log: PartitionLog, room: Int, isFirst: Bool) -> PartResult {
    var result = PartResult()
    do throws(StorageError) {
      let offsets = try log.loadNow()
      result.highWatermark = offsets.highWatermark.rawValue
      result.logStartOffset = offsets.logStartOffset.rawValue
      if let error = epochError(interest.currentLeaderEpoch, offsets.leaderEpoch) {
        result.error = error
        return result
      }
      if interest.lastFetchedEpoch >= 0, let divergence = try divergence(of: interest, in: log) {
        result.diverging = divergence
        return result
      }
      guard interest.offset >= offsets.logStartOffset.rawValue, interest.offset <= offsets.logEndOffset.rawValue else {
        result.error = .offsetOutOfRange
        return result
      }
      guard interest.offset < offsets.highWatermark.rawValue, isFirst || room > 0 else { return result }
      let records = try log.read(from: Offset(interest.offset), maxBytes: room, wholeFirstBatch: isFirst)
      result.chunks = records.chunks
      result.byteCount = records.byteCount
    } catch {
      result.error = error.code
    }
    return result
  }

  /// The consumer's last epoch ended before its fetch offset: its log and ours part there (KIP-320, KIP-595).
  private static func divergence(of interest: FetchInterest, in log: PartitionLog) throws(StorageError) -> (Int32, Int64)? {
    let end = try log.epochEnd(LeaderEpoch(interest.lastFetchedEpoch))
    guard let end else { return (-1, -1) }
    if end.epoch.rawValue < interest.lastFetchedEpoch || end.endOffset.rawValue < interest.offset {
      return (end.epoch.rawValue, end.endOffset.rawValue)
    }
    return nil
  }

  // MARK: Waiting

  private func decide() {
    guard !isAnswered else { return }
    let bytes = results.reduce(0) { $0 + $1.byteCount }
    let failed = results.contains { $0.error != .none || $0.diverging != nil }
    if bytes >= bytesMin || failed || parts.isEmpty || hasTimedOut || NIODeadline.now() >= deadline || !call.connection.isOpen {
      answer()
    } else {
      park()
    }
  }

  private func park() {
    results = Array(repeating: PartResult(), count: parts.count)  // what is held now is read again, with what arrives
    parkedOn = parts.compactMap(\.log)
    isParked = true
    loop.parked.park(self, on: parkedOn)
    if timer == nil {
      timer = loop.eventLoop.scheduleTask(deadline: deadline) { [weak self] in self?.timeIsUp() }
    }
    // Records that came between reading and parking woke nobody.
    for (index, part) in parts.enumerated() {
      if let offsets = part.log?.offsets, offsets.highWatermark.rawValue > max(part.interest.offset, knownHighWatermarks[index]) {
        recordsArrived()
        return
      }
    }
  }

  private func unpark() {
    guard isParked else { return }
    isParked = false
    loop.parked.unpark(self, from: parkedOn)
    parkedOn = []
  }

  func recordsArrived() {
    guard isParked else { return }
    for (index, part) in parts.enumerated() {
      if let offsets = part.log?.offsets { knownHighWatermarks[index] = offsets.highWatermark.rawValue }
    }
    unpark()
    gather()
  }

  func timeIsUp() {
    guard isParked, !isAnswered else { return }
    unpark()
    hasTimedOut = true
    gather()
  }
  // MARK: Answering

  private func answer() {
    isAnswered = true
    timer?.cancel()
    var response = FetchResponse()
    response.sessionID = plan.sessionID
    var topics: [String: Int] = [:]
    for (index, part) in parts.enumerated() {
      let result = results[index]
      let name = part.interest.topic
      if plan.sessionID != 0 {
        let isNews = broker.fetchSessions.isNews(
          sessionID: plan.sessionID, partition: TopicPartition(topic: name, partition: part.interest.partition),
          told: FetchSessions.Told(highWatermark: result.highWatermark, logStartOffset: result.logStartOffset),
          hasRecords: result.byteCount > 0, hasError: result.error != .none || result.diverging != nil)
        if plan.isIncremental, !isNews { continue }
      }
      let slot: Int
      if let known = topics[name] {
        slot = known
      } else {
        slot = response.responses.count
        topics[name] = slot
        var topic = FetchResponse.FetchableTopicResponse()
        topic.topic = name
        response.responses.append(topic)
      }
      response.responses[slot].partitions.append(partitionData(part, result))
    }
    call.reply(response)
  }

  private func partitionData(_ part: Part, _ result: PartResult) -> FetchResponse.PartitionData {
    var data = FetchResponse.PartitionData()
    data.partitionIndex = part.interest.partition
    data.errorCode = result.error
    data.highWatermark = result.highWatermark
    data.lastStableOffset = result.highWatermark
    data.logStartOffset = result.logStartOffset
    data.abortedTransactions = nil
    data.records = RecordsField(chunks: result.chunks)
    if let diverging = result.diverging {
      data.divergingEpoch.epoch = diverging.epoch
      data.divergingEpoch.endOffset = diverging.endOffset
    }
    return data
  }
}

/// What a client is told whose idea of the leader epoch is not the broker's (KIP-320); nil if it is, or it has none (-1).
func epochError(_ asked: Int32, _ current: LeaderEpoch) -> ErrorCode? {
  if asked < 0 || asked == current.rawValue { return nil }
  return asked < current.rawValue ? .fencedLeaderEpoch : .unknownLeaderEpoch
}
