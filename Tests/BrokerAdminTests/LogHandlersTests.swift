import KafkaProtocol
import Model
import Testing

@testable import Broker

@Suite(.timeLimit(.minutes(1))) struct LogHandlersTests {
  let fixture: AdminFixture

  init() async throws { fixture = try await AdminFixture() }

  func deleteRecords(_ offset: Int64, partition: Int32 = 0) async -> (ErrorCode, Int64)? {
    var asked = DeleteRecordsRequest.Partition()
    asked.partitionIndex = partition
    asked.offset = offset
    var topic = DeleteRecordsRequest.Topic()
    topic.name = "a"
    topic.partitions = [asked]
    var request = DeleteRecordsRequest()
    request.topics = [topic]
    return await fixture.admin.handle(request, version: 2).topics.first?.partitions.first.map {
      ($0.errorCode, $0.lowWatermark)
    }
  }

  func epochEnd(_ epoch: Int32, current: Int32 = -1, partition: Int32 = 0) async -> OffsetForLeaderEpochResponse.EpochEndOffset?
  {
    var asked = OffsetForLeaderEpochRequest.OffsetForLeaderPartition()
    asked.partition = partition
    asked.leaderEpoch = epoch
    asked.currentLeaderEpoch = current
    var topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic()
    topic.topic = "a"
    topic.partitions = [asked]
    var request = OffsetForLeaderEpochRequest()
    request.topics = [topic]
    return await fixture.admin.handle(request, version: 4).topics.first?.partitions.first
  }

  @Test("records of an empty partition: up to the high watermark is nothing, beyond it is out of range")
  func deletion() async throws {
    try await fixture.createTopic("a")
    let outcomes = [
      await deleteRecords(-1), await deleteRecords(0), await deleteRecords(1), await deleteRecords(-2),
      await deleteRecords(0, partition: 5),
    ]
    #expect(
      outcomes.map { $0?.0 } == [
        ErrorCode.none, ErrorCode.none, .offsetOutOfRange, .offsetOutOfRange, .unknownTopicOrPartition,
      ])
    #expect(outcomes.map { $0?.1 } == [0, 0, -1, -1, -1])
  }

  @Test("an epoch's end is told to who has the current epoch, and refused to who has another")
  func epochs() async throws {
    try await fixture.createTopic("a")
    let known = try #require(await epochEnd(0))
    #expect(known.errorCode == .none)
    #expect(known.endOffset == 0)
    #expect(await epochEnd(0, current: 0)?.errorCode == ErrorCode.none)
    #expect(await epochEnd(0, current: 3)?.errorCode == .unknownLeaderEpoch)
    let none = try #require(await epochEnd(-1))
    #expect(none.errorCode == .none && none.leaderEpoch == -1 && none.endOffset == -1)
    #expect(await epochEnd(0, partition: 9)?.errorCode == .unknownTopicOrPartition)
  }

  @Test("the log directory is described with its disk and the partitions asked for")
  func logDirectories() async throws {
    try await fixture.createTopic("a", partitions: 2)
    try await fixture.createTopic("b")
    var request = DescribeLogDirsRequest()
    request.topics = nil
    let all = await fixture.admin.handle(request, version: 4)
    #expect(all.results.first?.logDir == fixture.directory)
    #expect(all.results.first?.topics.map(\.name) == ["a", "b"])
    #expect((all.results.first?.totalBytes ?? 0) > 0)
    var topic = DescribeLogDirsRequest.DescribableLogDirTopic()
    topic.topic = "a"
    topic.partitions = [1, 7]
    request.topics = [topic]
    let some = await fixture.admin.handle(request, version: 4)
    #expect(some.results.first?.topics.map { $0.partitions.map(\.partitionIndex) } == [[1]])
  }
}
