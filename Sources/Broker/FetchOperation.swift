internal import Cluster
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import NIOCore
internal import Storage

/// One fetch under way (KIP-74): reads what is there, waits for more if that is too little, answers.
///
/// ```
///   gather (log tail in memory, on the loop) ──► a cold partition? ──► it and those behind it on a read thread ──► back on the loop
///        ▲                                                                                                          │
///        └── high watermark moved ◄── parked until enough bytes or the deadline ◄── too little
/// ```
///
/// A partition that is deleted, or that this node leads no longer, ends the wait. One that is fenced does not: it is read on, and goes on
/// when it is rebuilt.
///
/// Partitions are served in the order of the request wherever their records are, so that busy ones cannot starve one that lags behind.
// Safe because: it lives on its connection's event loop; a read thread gets values and hands values back.
final class FetchOperation: @unchecked Sendable {
  private let call: Call
  private let broker: BrokerContext
  private let plan: FetchSessions.Plan
  private let bytesMin: Int
  private let bytesMax: Int
  private let deadline: NIODeadline
  private let isReadCommitted: Bool
  private var parts: [Part]
  private var results: [PartResult]
  private var parkedOn: [PartitionLog] = []
  private var isParked = false
  private var timer: Scheduled<Void>?
  private var isAnswered = false
  /// The time is up, or a partition has gone: what there is now is the answer.
  private var isOver = false
  /// High watermarks up to which waiting has been decided, by part.
  private var knownHighWatermarks: [Int64]

  /// A partition asked for, and its log where there is one.
  struct Part: Sendable {
    var interest: FetchInterest
    var log: PartitionLog?
    /// Found before reading: unknown topic, fenced epoch, a codec the client cannot read.
    var error: ErrorCode?
    /// The leader's, as the cluster had it when the request came.
    var epoch = LeaderEpoch.zero
    /// A follower that is nearer to the client: it is sent there instead.
    var nearer: NodeID?
  }

  struct PartResult: Sendable {
    var error = ErrorCode.none
    var highWatermark: Int64 = -1
    var logStartOffset: Int64 = -1
    var chunks: [ByteBuffer] = []
    var byteCount = 0
    /// Bytes towards `min_bytes`, as Kafka counts them: where a limit stopped the read in front of a whole batch, up to the limit.
    var readableBytes = 0
    var diverging: (epoch: Int32, endOffset: Int64)?
    var nearer: NodeID?

    mutating func take(_ records: FetchedRecords, room: Int) {
      chunks = records.chunks
      byteCount = records.byteCount
      readableBytes = records.nextOffset.rawValue < highWatermark ? max(byteCount, room) : byteCount
    }
  }

  init(call: Call, broker: BrokerContext, request: FetchRequest, plan: FetchSessions.Plan, parts: [Part]) {
    self.call = call
    self.broker = broker
    self.plan = plan
    self.parts = parts
    isReadCommitted = request.isolationLevel == 1
    bytesMax = min(max(Int(request.maxBytes), 0), Limits.fetchBytesMax)
    bytesMin = min(Int(request.minBytes), bytesMax)
    deadline = .now() + .milliseconds(Int64(max(request.maxWaitMs, 0)))
    results = Array(repeating: PartResult(), count: parts.count)
    knownHighWatermarks = Array(repeating: -1, count: parts.count)
  }

  private var loop: LoopState { call.connection.loop }

  /// The bytes that the partitions of one pass over the request share.
  private struct Allowance {
    var bytes: Int
    /// Nothing was found yet: the first batch is returned whole however large it is (KIP-74).
    var isFirst = true

    func room(for interest: FetchInterest) -> Int { max(0, min(bytes, Int(interest.bytesMax))) }

    mutating func take(_ result: PartResult) {
      guard result.byteCount > 0 else { return }
      bytes -= result.byteCount
      isFirst = false
    }
  }

  /// Reads what memory holds; goes to a read thread for the rest, beginning with the first partition that it does not hold.
  func gather() {
    var allowance = Allowance(bytes: bytesMax)
    for (index, part) in parts.enumerated() {
      guard let result = Self.readMemory(part, allowance) else { return gatherCold(from: index, allowance) }
      allowance.take(result)
      results[index] = result
    }
    decide()
  }

  /// A reply from the disk is copied: it is kept small, which costs nothing, since the client asks for more as soon as it has it.
  private func gatherCold(from start: Int, _ allowance: Allowance) {
    let rest = parts[start...]
    broker.store.runOnReadThread { [self] in
      var allowance = allowance
      allowance.bytes = min(allowance.bytes, max(Limits.coldFetchBytesMax, bytesMin))
      var found: [PartResult] = []
      found.reserveCapacity(rest.count)
      for part in rest {
        let result = Self.readMemory(part, allowance) ?? Self.readDisk(part, allowance)
        allowance.take(result)
        found.append(result)
      }
      let results = found
      loop.eventLoop.execute { [self] in
        self.results.replaceSubrange(start..., with: results)
        decide()
      }
    }
  }

  /// One partition from the log tail; nil if it takes the disk, or the lane, to answer. Never blocks.
  private static func readMemory(_ part: Part, _ allowance: Allowance) -> PartResult? {
    if let error = part.error { return PartResult(error: error) }
    let interest = part.interest
    guard let log = part.log, let offsets = log.offsets, interest.lastFetchedEpoch < 0 else { return nil }
    var result = PartResult(highWatermark: offsets.highWatermark.rawValue, logStartOffset: offsets.logStartOffset.rawValue)
    if let error = complaint(about: part, log, offsets) {
      result.error = error
      return result
    }
    if let nearer = part.nearer {
      result.nearer = nearer
      return result
    }
    guard interest.offset < offsets.highWatermark.rawValue, allowance.isFirst || allowance.bytes > 0 else { return result }
    let room = allowance.room(for: interest)
    switch log.readTail(from: Offset(interest.offset), maxBytes: room) {
    case .batches(let records):
      if records.byteCount <= room || allowance.isFirst {
        result.take(records, room: room)
      } else {
        result.readableBytes = room
      }
      return result
    case .atEnd:
      return result
    case .notInMemory:
      return nil
    }
  }

  /// On a read thread: one partition from its segments.
  private static func readDisk(_ part: Part, _ allowance: Allowance) -> PartResult {
    let interest = part.interest
    guard let log = part.log else { return PartResult(error: .unknownTopicOrPartition) }
    var result = PartResult()
    do throws(StorageError) {
      let offsets = try log.loadNow()
      result.highWatermark = offsets.highWatermark.rawValue
      result.logStartOffset = offsets.logStartOffset.rawValue
      if let error = epochComplaint(about: part, log, offsets) {
        result.error = error
        return result
      }
      // Before the range: a consumer whose log went on after ours parted from it asks for what lies behind our end.
      if interest.lastFetchedEpoch >= 0 {
        guard let end = try log.epochEnd(LeaderEpoch(interest.lastFetchedEpoch)) else {
          result.error = .offsetOutOfRange
          return result
        }
        if diverges(interest, from: end) {
          result.diverging = (end.epoch.rawValue, end.endOffset.rawValue)
          return result
        }
      }
      if let error = complaint(about: part, log, offsets) {
        result.error = error
        return result
      }
      if let nearer = part.nearer {
        result.nearer = nearer
        return result
      }
      guard interest.offset < offsets.highWatermark.rawValue, allowance.isFirst || allowance.bytes > 0 else { return result }
      let room = allowance.room(for: interest)
      result.take(
        try log.read(from: Offset(interest.offset), maxBytes: room, wholeFirstBatch: allowance.isFirst), room: room)
    } catch {
      // Whatever failed because the files were being taken away.
      result.error = log.isDeleted ? .unknownTopicOrPartition : error.code
    }
    return result
  }

  /// What forbids reading at all.
  private static func complaint(about part: Part, _ log: PartitionLog, _ offsets: LogOffsets) -> ErrorCode? {
    if let error = epochComplaint(about: part, log, offsets) { return error }
    let offset = part.interest.offset
    if offset >= offsets.logStartOffset.rawValue && offset <= offsets.logEndOffset.rawValue { return nil }
    // What a follower lacks its leader may have.
    return log.isReplica && offset > offsets.logEndOffset.rawValue ? .offsetNotAvailable : .offsetOutOfRange
  }

  /// A follower's log has the epoch of its last record only.
  private static func epochComplaint(about part: Part, _ log: PartitionLog, _ offsets: LogOffsets) -> ErrorCode? {
    epochError(part.interest.currentLeaderEpoch, log.isReplica ? part.epoch : offsets.leaderEpoch)
  }

  /// The consumer's last epoch ended before its fetch offset: its log and ours part there (KIP-320, KIP-595).
  private static func diverges(_ interest: FetchInterest, from end: (epoch: LeaderEpoch, endOffset: Offset)) -> Bool {
    end.epoch.rawValue < interest.lastFetchedEpoch || end.endOffset.rawValue < interest.offset
  }

  // MARK: Waiting

  private func decide() {
    guard !isAnswered else { return }
    let bytes = results.reduce(0) { $0 + $1.readableBytes }
    // As in Kafka, a partition that is not there cuts nobody's wait short, unless there is no other.
    let isHopeless = parts.allSatisfy { $0.error != nil }
    let failed = zip(parts, results).contains {
      $0.error == nil && ($1.error != .none || $1.diverging != nil || $1.nearer != nil)
    }
    if call.connection.isDraining || NIODeadline.now() >= deadline { isOver = true }
    if bytes >= bytesMin || failed || isHopeless || isOver || isBehind || !call.connection.isOpen { answer() } else { park() }
  }

  /// Whether there are records in a segment that nothing is appended to any more: waiting brings no more of it. As in Kafka, that is answered at
  /// once, however little it is.
  private var isBehind: Bool {
    zip(parts, results).contains { part, result in
      result.byteCount > 0 && part.log?.isInOlderSegment(Offset(part.interest.offset)) == true
    }
  }

  private func park() {
    results = Array(repeating: PartResult(), count: parts.count)  // what is held now is read again, with what arrives
    parkedOn = parts.compactMap { $0.error == nil ? $0.log : nil }
    isParked = true
    call.connection.parkedFetch = self
    loop.parked.park(self, on: parkedOn)
    if timer == nil {
      timer = loop.eventLoop.scheduleTask(deadline: deadline) { [weak self] in self?.timeIsUp() }
    }
    // What happened between reading and parking woke nobody.
    for (index, part) in parts.enumerated() where part.error == nil {
      guard let log = part.log else { continue }
      let known = max(part.interest.offset, knownHighWatermarks[index])
      if let offsets = log.offsets, offsets.highWatermark.rawValue > known { return wake() }
      if log.isDeleted { return wake() }
    }
  }

  private func unpark() {
    guard isParked else { return }
    isParked = false
    call.connection.parkedFetch = nil
    loop.parked.unpark(self, from: parkedOn)
    parkedOn = []
  }

  /// A partition has records, or has gone.
  func wake() {
    guard isParked else { return }
    for (index, part) in parts.enumerated() {
      guard let log = part.log else { continue }
      if let offsets = log.offsets { knownHighWatermarks[index] = offsets.highWatermark.rawValue }
      if noteDeletion(index) { isOver = true }
    }
    unpark()
    gather()
  }

  func timeIsUp() {
    guard isParked, !isAnswered else { return }
    unpark()
    isOver = true
    for index in parts.indices { _ = noteDeletion(index) }
    gather()
  }

  /// - Returns: whether the partition was deleted, or is led elsewhere, since the fetch came; it then has that as its error.
  private func noteDeletion(_ index: Int) -> Bool {
    guard parts[index].error == nil, parts[index].log?.isDeleted == true else { return false }
    parts[index].log = nil
    parts[index].error = .unknownTopicOrPartition
    return true
  }

  /// The client has gone: nobody waits for the answer.
  func abandon() {
    guard isParked, !isAnswered else { return }
    unpark()
    isAnswered = true
    timer?.cancel()
    call.finishSilently()
  }

  // MARK: Answering

  private func answer() {
    isAnswered = true
    timer?.cancel()
    var response = FetchResponse()
    response.sessionID = plan.sessionID
    var topics: [String: Int] = [:]
    let news = news()
    for (index, part) in parts.enumerated() {
      let result = results[index]
      let name = part.interest.topic
      if plan.isIncremental, !news[index] { continue }
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

  /// By part, whether the client has yet to be told of it; all are, where there is no session.
  private func news() -> [Bool] {
    guard plan.sessionID != 0 else { return [] }
    return broker.fetchSessions.news(
      sessionID: plan.sessionID,
      reports: zip(parts, results).map { part, result in
        FetchSessions.Report(
          partition: TopicPartition(topic: part.interest.topic, partition: part.interest.partition),
          told: FetchSessions.Told(highWatermark: result.highWatermark, logStartOffset: result.logStartOffset),
          hasRecords: result.byteCount > 0,
          hasError: result.error != .none || result.diverging != nil || result.nearer != nil)
      })
  }

  private func partitionData(_ part: Part, _ result: PartResult) -> FetchResponse.PartitionData {
    var data = FetchResponse.PartitionData()
    data.partitionIndex = part.interest.partition
    data.errorCode =
      result.error == .none
      ? .none
      : broker.partitions.outcome(
        result.error, of: TopicPartition(topic: part.interest.topic, partition: part.interest.partition),
        in: broker.cluster.image)
    data.highWatermark = result.highWatermark
    data.lastStableOffset = result.highWatermark
    data.logStartOffset = result.logStartOffset
    data.abortedTransactions = isReadCommitted ? [] : nil
    data.records = RecordsField(chunks: result.chunks)
    if let nearer = result.nearer { data.preferredReadReplica = nearer.rawValue }
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
