import Model
import Synchronization
import Testing

@testable import Broker

@Suite("Fetch sessions (KIP-227)")
struct FetchSessionsTests {
  private static func sessions(max: Int = 10) -> FetchSessions {
    let next = Counter()
    return FetchSessions(sessionsMax: max) { next.next() }
  }
  private final class Counter: Sendable {
    private let value = Mutex<Int32>(0)
    func next() -> Int32 {
      value.withLock {
        $0 += 1
        return $0
      }
    }
  }
  private static func interest(_ partition: Int32, from offset: Int64 = 0) -> FetchInterest {
    FetchInterest(
      topic: "t", partition: partition, offset: offset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, bytesMax: 1_048_576)
  }
  private static func partition(_ number: Int32) -> TopicPartition { TopicPartition(topic: "t", partition: number) }

  @Test("epoch -1 is a fetch without a session")
  func sessionless() throws {
    let plan = try Self.sessions().plan(sessionID: 0, epoch: -1, named: [Self.interest(0)], forgotten: [])
    #expect(plan.sessionID == 0 && !plan.isIncremental && plan.interests == [Self.interest(0)])
  }

  @Test("a session remembers its partitions: later requests name only what changed")
  func incremental() throws {
    let sessions = Self.sessions()
    let first = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0), Self.interest(1)], forgotten: [])
    #expect(first.sessionID != 0 && !first.isIncremental)
    let second = try sessions.plan(sessionID: first.sessionID, epoch: 1, named: [Self.interest(1, from: 7)], forgotten: [])
    #expect(second.isIncremental && second.interests == [Self.interest(0), Self.interest(1, from: 7)])
    let third = try sessions.plan(sessionID: first.sessionID, epoch: 2, named: [], forgotten: [Self.partition(0)])
    #expect(third.interests == [Self.interest(1, from: 7)])
  }

  @Test("an unknown session and a wrong epoch are told apart")
  func errors() throws {
    let sessions = Self.sessions()
    #expect(throws: ErrorCode.fetchSessionIDNotFound) { try sessions.plan(sessionID: 99, epoch: 1, named: [], forgotten: []) }
    let plan = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: [])
    #expect(throws: ErrorCode.invalidFetchSessionEpoch) {
      try sessions.plan(sessionID: plan.sessionID, epoch: 5, named: [], forgotten: [])
    }
  }

  @Test("epoch 0 with a session id ends that session and begins another; epoch -1 only ends it")
  func replace() throws {
    let sessions = Self.sessions()
    let first = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: [])
    let second = try sessions.plan(sessionID: first.sessionID, epoch: 0, named: [Self.interest(0)], forgotten: [])
    #expect(second.sessionID != first.sessionID)
    #expect(throws: ErrorCode.fetchSessionIDNotFound) { try sessions.plan(sessionID: first.sessionID, epoch: 1, named: [], forgotten: []) }
    _ = try sessions.plan(sessionID: second.sessionID, epoch: -1, named: [Self.interest(0)], forgotten: [])
    #expect(throws: ErrorCode.fetchSessionIDNotFound) { try sessions.plan(sessionID: second.sessionID, epoch: 1, named: [], forgotten: []) }
  }

  @Test("when all slots are taken, the session unused for longest gives way")
  func eviction() throws {
    let sessions = Self.sessions(max: 2)
    let a = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: [])
    let b = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: [])
    _ = try sessions.plan(sessionID: a.sessionID, epoch: 1, named: [], forgotten: [])
    _ = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: [])
    #expect(throws: ErrorCode.fetchSessionIDNotFound) { try sessions.plan(sessionID: b.sessionID, epoch: 1, named: [], forgotten: []) }
    _ = try sessions.plan(sessionID: a.sessionID, epoch: 2, named: [], forgotten: [])
  }

  @Test("a partition is news when it has records, an error, or its offsets moved since it was last told")
  func news() throws {
    let sessions = Self.sessions()
    let id = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: []).sessionID
    func isNews(_ highWatermark: Int64, records: Bool = false, error: Bool = false) -> Bool {
      sessions.isNews(
        sessionID: id, partition: Self.partition(0),
        told: FetchSessions.Told(highWatermark: highWatermark, logStartOffset: 0), hasRecords: records, hasError: error)
    }
    #expect(isNews(5))
    #expect(!isNews(5))
    #expect(isNews(5, records: true))
    #expect(isNews(6))
    #expect(isNews(6, error: true))
    #expect(isNews(6), "after an error the offsets are told anew")
  }
}
