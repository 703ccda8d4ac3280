import Model
import Synchronization
import Testing

@testable import Broker

@Suite("Fetch sessions (KIP-227)")
struct FetchSessionsTests {
  private static func sessions(max: Int = 10, partitionsMax: Int = 1000, clock: Clock = Clock()) -> FetchSessions {
    let next = Counter()
    return FetchSessions(
      sessionsMax: max, partitionsMax: partitionsMax, newID: { next.next() }, now: { clock.milliseconds })
  }
  private final class Clock: Sendable {
    private let now = Mutex<Int64>(1_000)
    var milliseconds: Int64 { now.withLock { $0 } }
    func advance(seconds: Int64) { now.withLock { $0 += seconds * 1_000 } }
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
    #expect(throws: ErrorCode.fetchSessionIDNotFound) {
      try sessions.plan(sessionID: first.sessionID, epoch: 1, named: [], forgotten: [])
    }
    _ = try sessions.plan(sessionID: second.sessionID, epoch: -1, named: [Self.interest(0)], forgotten: [])
    #expect(throws: ErrorCode.fetchSessionIDNotFound) {
      try sessions.plan(sessionID: second.sessionID, epoch: 1, named: [], forgotten: [])
    }
  }

  /// Whether the session is still there; using it.
  private static func use(_ session: Int32, epoch: Int32, of sessions: FetchSessions) -> Bool {
    (try? sessions.plan(sessionID: session, epoch: epoch, named: [], forgotten: [])) != nil
  }
  private static func begin(_ partitionCount: Int32, in sessions: FetchSessions) throws -> Int32 {
    try sessions.plan(sessionID: 0, epoch: 0, named: (0..<partitionCount).map { interest($0) }, forgotten: []).sessionID
  }

  @Test("when all slots are taken, the session unused for longest gives way if that is more than two minutes")
  func evictionOfIdle() throws {
    let clock = Clock()
    let sessions = Self.sessions(max: 2, clock: clock)
    let a = try Self.begin(5, in: sessions)
    let b = try Self.begin(5, in: sessions)
    clock.advance(seconds: 60)
    #expect(Self.use(a, epoch: 1, of: sessions))
    clock.advance(seconds: 60)
    #expect(try Self.begin(1, in: sessions) == 0, "exactly two minutes are not more")
    clock.advance(seconds: 1)
    #expect(try Self.begin(1, in: sessions) != 0)
    #expect(Self.use(a, epoch: 2, of: sessions) && !Self.use(b, epoch: 1, of: sessions))
  }

  @Test("when all slots are taken by sessions in use, the smallest that has lasted two minutes gives way to a larger one only")
  func evictionOfSmaller() throws {
    let clock = Clock()
    let sessions = Self.sessions(max: 3, clock: clock)
    let small = try Self.begin(2, in: sessions)
    let large = try Self.begin(9, in: sessions)
    clock.advance(seconds: 100)
    let young = try Self.begin(1, in: sessions)
    #expect(try Self.begin(50, in: sessions) == 0, "nobody has lasted for two minutes")
    clock.advance(seconds: 21)
    #expect(Self.use(small, epoch: 1, of: sessions) && Self.use(large, epoch: 1, of: sessions))
    #expect(try Self.begin(2, in: sessions) == 0, "as large is not larger")
    #expect(try Self.begin(3, in: sessions) != 0)
    #expect(!Self.use(small, epoch: 2, of: sessions))
    #expect(Self.use(large, epoch: 2, of: sessions) && Self.use(young, epoch: 1, of: sessions))
  }

  @Test("a session that is left without partitions ends")
  func emptied() throws {
    let sessions = Self.sessions()
    let id = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: []).sessionID
    let plan = try sessions.plan(sessionID: id, epoch: 1, named: [], forgotten: [Self.partition(0)])
    #expect(plan.sessionID == 0 && plan.interests.isEmpty)
    #expect(throws: ErrorCode.fetchSessionIDNotFound) { try sessions.plan(sessionID: id, epoch: 2, named: [], forgotten: []) }
  }

  @Test("the partitions of all sessions together are bounded; who asks for more fetches without a session")
  func bounded() throws {
    let sessions = Self.sessions(partitionsMax: 3)
    let first = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0), Self.interest(1)], forgotten: []).sessionID
    #expect(first != 0)
    let second = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0), Self.interest(1)], forgotten: [])
    #expect(second.sessionID == 0 && second.interests.count == 2)
    #expect(throws: ErrorCode.fetchSessionIDNotFound, "a session may not grow past the bound either") {
      try sessions.plan(sessionID: first, epoch: 1, named: [Self.interest(2), Self.interest(3)], forgotten: [])
    }
    #expect(try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: []).sessionID != 0)
  }

  @Test("partitions that gave records are served behind the others next time")
  func rotation() throws {
    let sessions = Self.sessions()
    let id = try sessions.plan(
      sessionID: 0, epoch: 0, named: [Self.interest(0), Self.interest(1), Self.interest(2)], forgotten: []
    ).sessionID
    _ = sessions.news(
      sessionID: id,
      reports: [0, 2].map {
        FetchSessions.Report(
          partition: Self.partition($0), told: FetchSessions.Told(highWatermark: 1, logStartOffset: 0), hasRecords: true,
          hasError: false)
      })
    let plan = try sessions.plan(sessionID: id, epoch: 1, named: [], forgotten: [])
    #expect(plan.interests.map(\.partition) == [1, 0, 2])
  }

  @Test("a partition is news when it has records, an error, or its offsets moved since it was last told")
  func news() throws {
    let sessions = Self.sessions()
    let id = try sessions.plan(sessionID: 0, epoch: 0, named: [Self.interest(0)], forgotten: []).sessionID
    func isNews(_ highWatermark: Int64, records: Bool = false, error: Bool = false) -> Bool {
      sessions.news(
        sessionID: id,
        reports: [
          FetchSessions.Report(
            partition: Self.partition(0), told: FetchSessions.Told(highWatermark: highWatermark, logStartOffset: 0),
            hasRecords: records, hasError: error)
        ]) == [true]
    }
    #expect(isNews(5))
    #expect(!isNews(5))
    #expect(isNews(5, records: true))
    #expect(isNews(6))
    #expect(isNews(6, error: true))
    #expect(isNews(6), "after an error the offsets are told anew")
  }
}
