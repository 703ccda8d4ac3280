import KafkaProtocol
import Model
import NIOCore
import Testing

@testable import KafkaClient

@Suite("A connection to a broker")
struct ConnectionTests {
  private static let hasty = KafkaClient.Timeouts(
    connect: .seconds(1), request: .milliseconds(300), operation: .milliseconds(1))

  private func groups(_ script: @escaping FakeBroker.Script) async throws -> [ListedGroup] {
    let broker = try await FakeBroker.start(script)
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test", timeouts: Self.hasty)
    defer { Task { await broker.stop() } }
    return try await client.groups()
  }

  @Test("answers reach who asked")
  func answers() async throws {
    let groups = try await groups { header, _ in
      var group = ListGroupsResponse.ListedGroup()
      group.groupID = "g"
      var response = ListGroupsResponse()
      response.groups = [group]
      return FakeBroker.reply(response, to: header)
    }
    #expect(groups.map(\.groupID) == ["g"])
  }

  @Test("nobody there: one line that says what to do")
  func refused() async throws {
    let broker = try await FakeBroker.start { _, _ in .silence }
    await broker.stop()
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    let error = await #expect(throws: KafkaClientError.self) { try await client.topics() }
    #expect(error?.code == .unreachable)
    #expect(error?.message == "cannot reach \(broker.address): connection refused (is `quire serve` running?)")
  }

  @Test("a broker that does not answer is given up")
  func silent() async throws {
    let error = await #expect(throws: KafkaClientError.self) { try await groups { _, _ in .silence } }
    #expect(error?.code == .timedOut)
  }

  @Test("a broker that hangs up is told from one that answers")
  func hangsUp() async throws {
    let error = await #expect(throws: KafkaClientError.self) { try await groups { _, _ in .hangUp } }
    #expect(error?.code == .disconnected)
  }

  @Test(
    "bytes that are no answer end the connection",
    arguments: [ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n"), ByteBuffer(bytes: [0, 0, 0, 4, 9, 9, 9, 9])])
  func nonsense(_ bytes: ByteBuffer) async throws {
    let error = await #expect(throws: KafkaClientError.self) { try await groups { _, _ in .bytes(bytes) } }
    #expect(error?.code == .malformedResponse)
  }

  @Test("a broker that was there before is waited for")
  func restarted() async throws {
    let (hangUps, hangUp) = AsyncStream.makeStream(of: Void.self)
    let broker = try await FakeBroker.start { _, _ in
      hangUp.yield()
      return .hangUp
    }
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    _ = try await client.topics()
    await broker.stop()
    let asking = Task { try await client.groups() }
    for await _ in hangUps { break }
    // Long enough for an attempt that finds nobody; if it is not, the test says less but still succeeds.
    try await Task.sleep(for: .milliseconds(150))
    let again = try await FakeBroker.start(onPort: broker.address.port) { header, _ in
      FakeBroker.reply(ListGroupsResponse(), to: header)
    }
    #expect(try await asking.value.isEmpty)
    await again.stop()
  }

  @Test("a cancelled request ends at once")
  func cancelled() async throws {
    let broker = try await FakeBroker.start { _, _ in .silence }
    let client = KafkaClient(bootstrap: [broker.address], clientID: "test")
    let task = Task { try await client.groups() }
    try await Task.sleep(for: .milliseconds(50))
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    await broker.stop()
  }
}
