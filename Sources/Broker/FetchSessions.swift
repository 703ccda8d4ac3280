internal import Model
internal import Synchronization

/// What a consumer asks of one partition in a fetch.
struct FetchInterest: Sendable, Equatable {
  var topic: String
  var partition: Int32
  var offset: Int64
  var currentLeaderEpoch: Int32
  var lastFetchedEpoch: Int32
  var bytesMax: Int32
}

/// Incremental fetch sessions (KIP-227): the broker remembers what a consumer fetches, so that a request names only what changed and
/// a reply only what is new.
final class FetchSessions: Sendable {
  /// What a fetch request is to do, and how its reply is to be shaped.
  struct Plan: Sendable {
    var sessionID: Int32
    var interests: [FetchInterest]
    /// Partitions with neither records, nor an error, nor moved offsets are left out of the reply.
    var isIncremental: Bool
  }

  fileprivate struct Session {
    var epoch: Int32
    var interests: [TopicPartition: FetchInterest]
    /// Order of the partitions in replies: rotated, so that one busy partition cannot starve the others.
    var order: [TopicPartition]
    /// What the last reply told about each partition.
    var told: [TopicPartition: Told] = [:]
    let created: Int64
    var lastUse: Int64
  }
  struct Told: Equatable, Sendable {
    var highWatermark: Int64
    var logStartOffset: Int64
  }
  fileprivate struct State {
    var sessions: [Int32: Session] = [:]
    /// Of all sessions together.
    var partitionCount = 0
  }

  private let state = Mutex(State())
  private let sessionsMax: Int
  private let partitionsMax: Int
  private let newID: @Sendable () -> Int32
  private let now: @Sendable () -> Int64

  /// - Parameters:
  ///   - partitionsMax: partitions remembered by all sessions together; a session that would exceed it is not begun, or ended.
  ///   - newID: a random positive number a call.
  ///   - now: milliseconds of a clock that only runs forward.
  init(
    sessionsMax: Int, partitionsMax: Int = 500_000, newID: @escaping @Sendable () -> Int32,
    now: @escaping @Sendable () -> Int64
  ) {
    self.sessionsMax = sessionsMax
    self.partitionsMax = partitionsMax
    self.newID = newID
    self.now = now
  }

  /// Resolves a request against its session.
  ///
  /// Session id 0 with epoch -1 is a fetch without a session; epoch 0 asks for a new session (and ends the one named); any other epoch
  /// goes on with the session named.
  ///
  /// - Throws: `fetchSessionIDNotFound`, `invalidFetchSessionEpoch`; the session named stays as it is.
  func plan(sessionID: Int32, epoch: Int32, named: [FetchInterest], forgotten: [TopicPartition]) throws(ErrorCode) -> Plan {
    let now = now()
    if epoch == -1 || epoch == 0 {
      return state.withLock { state in
        state.end(sessionID)
        guard epoch == 0, !named.isEmpty, sessionsMax > 0, state.partitionCount + named.count <= partitionsMax else {
          return Plan(sessionID: 0, interests: named, isIncremental: false)
        }
        var session = Session(epoch: 1, interests: [:], order: [], created: now, lastUse: now)
        for interest in named { session.add(interest) }
        if state.sessions.count >= sessionsMax {
          guard let evicted = state.sessionToEvict(for: session, now: now) else {
            return Plan(sessionID: 0, interests: named, isIncremental: false)
          }
          state.end(evicted)
        }
        var id = newID()
        while id <= 0 || state.sessions[id] != nil { id = newID() }
        state.begin(id, session)
        return Plan(sessionID: id, interests: named, isIncremental: false)
      }
    }
    let result: Result<Plan, ErrorCode> = state.withLock { state in
      guard let expected = state.sessions[sessionID]?.epoch else { return .failure(.fetchSessionIDNotFound) }
      guard expected == epoch else { return .failure(.invalidFetchSessionEpoch) }
      // Taken out, so that it is changed where it lies. A session that grew out of bounds does not come back.
      guard var session = state.end(sessionID), state.partitionCount + session.order.count + named.count <= partitionsMax else {
        return .failure(.fetchSessionIDNotFound)
      }
      session.epoch = epoch == .max ? 1 : epoch + 1
      session.lastUse = now
      for interest in named { session.add(interest) }
      if !forgotten.isEmpty {
        for partition in forgotten {
          session.interests[partition] = nil
          session.told[partition] = nil
        }
        let interests = session.interests
        session.order.removeAll { interests[$0] == nil }
      }
      // Nothing is left to remember (as in Kafka, the client begins a new session when it has something to fetch).
      if session.order.isEmpty { return .success(Plan(sessionID: 0, interests: [], isIncremental: false)) }
      let interests = session.order.compactMap { session.interests[$0] }
      state.begin(sessionID, session)
      return .success(Plan(sessionID: sessionID, interests: interests, isIncremental: true))
    }
    return try result.get()
  }

  /// What a reply could say about one partition.
  struct Report: Sendable {
    var partition: TopicPartition
    var told: Told
    var hasRecords: Bool
    var hasError: Bool
  }

  /// Which partitions belong into an incremental reply: those with records or an error, and those whose offsets moved since they were
  /// last told. Remembers what is told now; partitions with records go behind the others.
  func news(sessionID: Int32, reports: [Report]) -> [Bool] {
    state.withLock { state in
      guard let session = state.sessions.index(forKey: sessionID) else { return reports.map { _ in true } }
      var served: Set<TopicPartition> = []
      let news = reports.map { report in
        if report.hasError {
          state.sessions.values[session].told[report.partition] = nil
          return true
        }
        let before = state.sessions.values[session].told.updateValue(report.told, forKey: report.partition)
        if report.hasRecords { served.insert(report.partition) }
        return report.hasRecords || before != report.told
      }
      if !served.isEmpty { state.sessions.values[session].moveToEnd(served) }
      return news
    }
  }
}

extension FetchSessions.State {
  /// The session that gives way to `newcomer` where all slots are taken, by Kafka's rule for consumers (KIP-227): one that has not
  /// been used for two minutes; else the smallest of those that have lasted for two minutes, if the newcomer has more partitions.
  ///
  /// Thus many clients that begin sessions cannot throw each other out at every fetch.
  fileprivate func sessionToEvict(for newcomer: FetchSessions.Session, now: Int64) -> Int32? {
    let patience = Limits.fetchSessionEvictionMilliseconds
    guard let idlest = sessions.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return nil }
    if now - idlest.value.lastUse > patience { return idlest.key }
    let lasting = sessions.lazy.filter { $0.value.lastUse - $0.value.created > patience }
    guard let smallest = lasting.min(by: { ($0.value.order.count, $0.key) < ($1.value.order.count, $1.key) }) else {
      return nil
    }
    return newcomer.order.count > smallest.value.order.count ? smallest.key : nil
  }

  fileprivate mutating func begin(_ id: Int32, _ session: FetchSessions.Session) {
    sessions[id] = session
    partitionCount += session.order.count
  }

  @discardableResult
  fileprivate mutating func end(_ id: Int32) -> FetchSessions.Session? {
    guard let session = sessions.removeValue(forKey: id) else { return nil }
    partitionCount -= session.order.count
    return session
  }
}

extension FetchSessions.Session {
  fileprivate mutating func add(_ interest: FetchInterest) {
    let key = TopicPartition(topic: interest.topic, partition: interest.partition)
    if interests.updateValue(interest, forKey: key) == nil { order.append(key) }
  }

  fileprivate mutating func moveToEnd(_ partitions: Set<TopicPartition>) {
    order = order.filter { !partitions.contains($0) } + order.filter { partitions.contains($0) }
  }
}
