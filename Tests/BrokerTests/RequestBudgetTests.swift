import KafkaProtocol
import Model
import NIOCore
import Testing

@testable import Broker

@Suite("The memory for requests that wait", .timeLimit(.minutes(1)))
struct RequestBudgetTests {
  private static func request(_ bytes: Int) throws -> ByteBuffer {
    RawClient.frame(
      produceRequest("t", [(0, try batch([String(repeating: "x", count: bytes)]))]), version: 9, correlationID: 1)
  }

  private func expectProduced(_ client: RawClient) async throws {
    let response = try await client.reply(to: ProduceRequest.self, version: 9).response
    #expect(response.responses[0].partitionResponses[0].errorCode == .none)
  }

  @Test("is bounded for all connections together, and requests of which a part has arrived do not wait for each other's end")
  func partsOfRequests() async throws {
    let bound = 1 << 20
    try await BrokerUnderTest.run({ $0.queuedRequestBytesMax = bound }) { broker in
      try await broker.createTopic("t", ["max.message.bytes": "5000000"])
      var whole = try Self.request(4_000_000)
      let part = whole.readSlice(length: 3_000_000)!
      let rest = whole
      var clients: [RawClient] = []
      for _ in 0..<12 { clients.append(try await broker.client()) }
      // Sent without waiting: the broker does not read all of it.
      for client in clients { client.sendLater(part) }
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes >= bound })
      try await Task.sleep(for: .milliseconds(100))
      // 12 * 3 million would be 36. Each connection may bring one turn of reads, and one of them may finish.
      #expect(broker.broker.queuedRequestBytes < bound + 12 * RequestBudget.bytesPerRead + 4_000_000)
      for client in clients { client.sendLater(rest) }
      for client in clients { try await expectProduced(client) }
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes == 0 })
    }
  }

  @Test("a client that sends no more of its request while others have no room is closed after a while")
  func stuck() async throws {
    try await BrokerUnderTest.run({ $0.queuedRequestBytesMax = 100_000 }) { broker in
      try await broker.createTopic("t")
      let loop = broker.broker.loops[0]
      try await loop.eventLoop.submit { loop.budget.finishingPatience = .milliseconds(200) }.get()
      var promise = ByteBuffer(integer: Int32(50_000_000))
      promise.writeRepeatingByte(0, count: 150_000)
      let stuck = try await broker.client()
      try await stuck.send(promise)
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes >= 100_000 })
      let client = try await broker.client()
      client.sendLater(try Self.request(1_000))
      try await expectProduced(client)
      #expect(try await stuck.isClosed())
    }
  }

  @Test("a client that keeps others waiting by sending little by little is closed after a while")
  func dripping() async throws {
    try await BrokerUnderTest.run({ $0.queuedRequestBytesMax = 100_000 }) { broker in
      try await broker.createTopic("t")
      let loop = broker.broker.loops[0]
      try await loop.eventLoop.submit { loop.budget.patience = .milliseconds(300) }.get()
      var promise = ByteBuffer(integer: Int32(50_000_000))
      promise.writeRepeatingByte(0, count: 150_000)
      let dripping = try await broker.client()
      try await dripping.send(promise)
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes >= 100_000 })
      let client = try await broker.client()
      client.sendLater(try Self.request(1_000))
      for _ in 0..<200 {
        dripping.sendLater(ByteBuffer(bytes: [0]))
        try await Task.sleep(for: .milliseconds(5))
      }
      try await expectProduced(client)
      #expect(try await dripping.isClosed())
    }
  }

  @Test("a client that stops in the middle of a request is left alone while there is room")
  func slow() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let loop = broker.broker.loops[0]
      try await loop.eventLoop.submit { loop.budget.patience = .milliseconds(1) }.get()
      var whole = try Self.request(100_000)
      let client = try await broker.client()
      try await client.send(whole.readSlice(length: 50_000)!)
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes == 50_000 })
      try await Task.sleep(for: .milliseconds(100))
      try await client.send(whole)
      try await expectProduced(client)
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes == 0 })
      // What is held is forgotten with the connection.
      try await client.send(try Self.request(100_000).getSlice(at: 0, length: 50_000)!)
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes == 50_000 })
      await client.close()
      #expect(try await broker.eventually { broker.broker.queuedRequestBytes == 0 })
    }
  }
}
