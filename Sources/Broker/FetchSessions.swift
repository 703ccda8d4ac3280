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
    var lastUse: UInt64
  }
  struct Told: Equatable, Sendable {
    var highWatermark: Int64
    var logStartOffset: Int64
  }
  private struct State {
    var sessions: [Int32: Session] = [:]
    var clock: UInt64 = 0
  }

  private let state = Mutex(State())
  private let sessionsMax: Int
  private let newID: @Sendable () -> Int32

  /// - Parameter newID: a random positive number a call.
  init(sessionsMax: Int, newID: @escaping @Sendable () -> Int32) {
    self.sessionsMax = sessionsMax
    self.newID = newID
  }

  /// Resolves a request against its session.
  ///
  /// Session id 0 with epoch -1 is a fetch without a session; epoch 0 asks for a new session (and ends the one named); any other epoch
  /// goes on with the session named.
  ///
  /// - Throws: `fetchSessionIDNotFound`, `invalidFetchSessionEpoch`; the session named stays as it is.
  func plan(sessionID: Int32, epoch: Int32, named: [FetchInterest], forgotten: [TopicPartition]) throws(ErrorCode) -> Plan {
    if epoch == -1 || epoch == 0 {
      return state.withLock { state in
        if sessionID != 0 { state.sessions[sessionID] = nil }
        guard epoch == 0, !named.isEmpty, sessionsMax > 0 else {
          return Plan(sessionID: 0, interests: named, isIncremental: false)
        }
        state.clock += 1
        if state.sessions.count >= sessionsMax, let oldest = state.sessions.min(by: { $0.value.lastUse < $1.value.lastUse }) {
          state.sessions[oldest.key] = nil
        }
        var id = newID()
        while id <= 0 || state.sessions[id] != nil { id = newID() }
        var session = Session(epoch: 1, interests: [:], order: [], lastUse: state.clock)
        for interest in named { session.add(interest) }
        state.sessions[id] = session
        return Plan(sessionID: id, interests: named, isIncremental: false)
      }
    }
    let result: Result<Plan, ErrorCode> = state.withLock { state in
      guard var session = state.sessions[sessionID] else { return .failure(.fetchSessionIDNotFound) }
      guard session.epoch == epoch else { return .failure(.invalidFetchSessionEpoch) }
      session.epoch = epoch == .max ? 1 : epoch + 1
      state.clock += 1
      session.lastUse = state.clock
      for interest in named { session.add(interest) }
      if !forgotten.isEmpty {
        for partition in forgotten {
          session.interests[partition] = nil
          session.told[partition] = nil
        }
        let interests = session.interests
        session.order.removeAll { interests[$0] == nil }
      }
      let interests = session.order.compactMap { session.interests[$0] }
      state.sessions[sessionID] = session
      return .success(Plan(sessionID: sessionID, interests: interests, isIncremental: true))
    }
    return try result.get()
  }

  /// Whether a partition without records belongs into an incremental reply, because its offsets moved since it was last told; and
  /// remembers what is told now.
  func isNews(sessionID: Int32, partition: TopicPartition, told: Told, hasRecords: Bool, hasError: Bool) -> Bool {
    state.withLock { state in
      guard let before = state.sessions[sessionID] else { return true }
      if hasError {
        state.sessions[sessionID]!.told[partition] = nil
        return true
      }
      let news = hasRecords || before.told[partition] != told
      if before.told[partition] != told { state.sessions[sessionID]!.told[partition] = told }
      if hasRecords { state.sessions[sessionID]!.moveToEnd(partition) }
      return news
    }
  }
}

extension FetchSessions.Session {
  fileprivate mutating func add(_ interest: FetchInterest) {
    let key = TopicPartition(topic: interest.topic, partition: interest.partition)
    if interests.updateValue(interest, forKey: key) == nil { order.append(key) }
  }

  fileprivate mutating func moveToEnd(_ partition: TopicPartition) {
    guard order.last != partition, let index = order.firstIndex(of: partition) else { return }
    order.remove(at: index)
    order.append(partition)
  }
}
