import Glibc
import KafkaProtocol
import Model
import NIOCore
import NIOPosix
import Testing

@testable import Broker

@Suite("A connection", .timeLimit(.minutes(1)))
struct ConnectionTests {
  @Test("an unknown ApiVersions version is answered in version 0 with error 35, its own range first")
  func unknownApiVersions() async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      // A flexible header: what a client newer than we are sends.
      try await client.send(RawClient.frame(key: 18, version: 99, correlationID: 5, body: [0, 0]))
      let (id, response) = try await client.reply(to: ApiVersionsRequest.self, version: 0)
      #expect(id == 5)
      #expect(response.errorCode == .unsupportedVersion)
      #expect(response.apiKeys.first?.apiKey == 18)
      #expect(response.apiKeys.first?.maxVersion == 4)
      // The client asks again on the same connection.
      var request = ApiVersionsRequest()
      request.clientSoftwareName = "test"
      request.clientSoftwareVersion = "1.0"
      let again = try await client.ask(request, version: 4)
      #expect(again.errorCode == .none)
      #expect(again.apiKeys.first { $0.apiKey == 0 }?.minVersion == 0, "librdkafka before 2.11 looks for Produce 0")
      request.clientSoftwareName = "-test-"
      #expect(try await client.ask(request, version: 3).errorCode == .invalidRequest)
    }
  }

  @Test(
    "an API or a version that is not served closes the connection",
    arguments: [(Int16(999), Int16(0)), (-1, 0), (1, 3), (1, 13), (0, 2), (3, 13), (3, -1), (71, 0)])
  func unserved(key: Int16, version: Int16) async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      try await client.send(RawClient.frame(key: key, version: version))
      #expect(try await client.isClosed())
    }
  }

  @Test("replies to what came before leave before the connection is closed")
  func repliesBeforeClose() async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      var both = RawClient.frame(ApiVersionsRequest(), version: 0, correlationID: 1)
      both.writeImmutableBuffer(RawClient.frame(key: 999, version: 0))
      try await client.send(both)
      #expect(try await client.reply(to: ApiVersionsRequest.self, version: 0).correlationID == 1)
      #expect(try await client.isClosed())
    }
  }

  @Test(
    "produce requests that are under way are answered before what follows them closes the connection",
    arguments: [
      RawClient.frame(key: 0, version: 9, body: [0xFF, 0xFF]), RawClient.frame(key: 999, version: 0),
      ByteBuffer(integer: Int32(-5)),
    ])
  func repliesToProduceBeforeClose(bad: ByteBuffer) async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      for _ in 0..<20 {
        let client = try await broker.client()
        var bytes = ByteBuffer()
        for id: Int32 in 1...5 {
          bytes.writeImmutableBuffer(
            RawClient.frame(produceRequest("t", [(0, try batch(["\(id)"]))]), version: 9, correlationID: id))
        }
        bytes.writeImmutableBuffer(bad)
        bytes.writeImmutableBuffer(RawClient.frame(ApiVersionsRequest(), version: 0, correlationID: 99))
        try await client.send(bytes)
        for id: Int32 in 1...5 {
          let (found, response) = try await client.reply(to: ProduceRequest.self, version: 9)
          #expect(found == id && response.responses[0].partitionResponses[0].errorCode == .none)
        }
        #expect(try await client.isClosed(), "nothing behind it is answered")
      }
      #expect(try await broker.eventually { try await broker.openConnections == 0 })
    }
  }

  @Test("rubbish behind a fetch that waits ends the wait, is answered with what there is, and closes")
  func rubbishBehindFetch() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      var bytes = RawClient.frame(fetchRequest("t", [(0, 0)], waitMilliseconds: .max), version: 4, correlationID: 1)
      bytes.writeInteger(Int32(-1))
      try await client.send(bytes)
      #expect(try await client.reply(to: FetchRequest.self, version: 4).correlationID == 1)
      #expect(try await client.isClosed())
    }
  }

  @Test("a client id that is not UTF-8 is served")
  func clientIDNotUTF8() async throws {
    try await BrokerUnderTest.run { broker in
      let client = try await broker.client()
      try await client.send(bytes: [0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 5, 0, 2, 0xC3, 0x28])
      #expect(try await client.reply(to: ApiVersionsRequest.self, version: 0).correlationID == 5)
    }
  }

  @Test(
    "a connection that sends rubbish is closed and others are served",
    arguments: [
      Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [0xFF, 0xFF, 0xFF, 0xFF], [0x7F, 0xFF, 0xFF, 0xFF, 0],
      [0, 0, 0, 0], [0, 0, 0, 3, 0, 3, 0], [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC],
      [0, 0, 0, 10, 0, 3, 0, 1, 0, 0, 0, 1, 0x7F, 0xFF],
      [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 1, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF],
    ] as [[UInt8]])
  func rubbish(bytes: [UInt8]) async throws {
    try await BrokerUnderTest.run { broker in
      let good = try await broker.client()
      let bad = try await broker.client()
      try await bad.send(bytes: bytes)
      #expect(try await bad.isClosed())
      #expect(try await good.ask(ApiVersionsRequest(), version: 0).errorCode == .none)
      #expect(try await broker.eventually { try await broker.openConnections == 1 })
    }
  }

  @Test("frames that drip in byte by byte are answered")
  func drip() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      var bytes = RawClient.frame(ApiVersionsRequest(), version: 0, correlationID: 1)
      bytes.writeImmutableBuffer(
        RawClient.frame(produceRequest("t", [(0, try batch(["a", "b"]))]), version: 9, correlationID: 2))
      while let byte = bytes.readSlice(length: 1) { try await client.send(byte) }
      #expect(try await client.reply(to: ApiVersionsRequest.self, version: 0).correlationID == 1)
      let (id, response) = try await client.reply(to: ProduceRequest.self, version: 9)
      #expect(id == 2 && response.responses[0].partitionResponses[0].errorCode == .none)
    }
  }

  @Test("replies leave in request order when a slow request precedes a fast one")
  func order() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      var bytes = RawClient.frame(fetchRequest("t", [(0, 0)], waitMilliseconds: 100), version: 4, correlationID: 1)
      bytes.writeImmutableBuffer(RawClient.frame(ApiVersionsRequest(), version: 0, correlationID: 2))
      bytes.writeImmutableBuffer(
        RawClient.frame(produceRequest("t", [(0, try batch(["a"]))]), version: 7, correlationID: 3))
      bytes.writeImmutableBuffer(
        RawClient.frame(produceRequest("t", [(0, try batch(["b"]))]), version: 7, correlationID: 4))
      bytes.writeImmutableBuffer(RawClient.frame(fetchRequest("t", [(0, 0)]), version: 4, correlationID: 5))
      try await client.send(bytes)
      #expect(try await client.reply(to: FetchRequest.self, version: 4).correlationID == 1)
      #expect(try await client.reply(to: ApiVersionsRequest.self, version: 0).correlationID == 2)
      #expect(try await client.reply(to: ProduceRequest.self, version: 7).correlationID == 3)
      #expect(try await client.reply(to: ProduceRequest.self, version: 7).correlationID == 4)
      let (id, fetched) = try await client.reply(to: FetchRequest.self, version: 4)
      #expect(id == 5)
      #expect(try fetched.parts[0].values == ["a", "b"], "what was produced before on the same connection is there")
    }
  }

  @Test("a client that does not read its replies has no further requests started")
  func slowReader() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let writer = try await broker.client()
      let value = String(repeating: "x", count: 900_000)
      let produced = try await writer.ask(produceRequest("t", [(0, try batch([value]))]), version: 7)
      #expect(produced.responses[0].partitionResponses[0].errorCode == .none)
      await writer.close()
      let client = try await broker.client(reading: false)
      let count = 60
      var requests = ByteBuffer()
      for id in 1...Int32(count) {
        requests.writeImmutableBuffer(RawClient.frame(fetchRequest("t", [(0, 0)]), version: 4, correlationID: id))
      }
      try await client.send(requests)
      let loop = broker.broker.loops[0]
      func held() async throws -> Int {
        try await loop.eventLoop.submit { loop.connections.values.map(\.waiting.count).max() ?? 0 }.get()
      }
      #expect(try await broker.eventually { try await held() > 0 })
      try await Task.sleep(for: .milliseconds(50))
      #expect(try await held() > count / 2, "only what the sockets hold has been answered")
      #expect(try await (try await broker.client()).ask(ApiVersionsRequest(), version: 0).errorCode == .none)
      try await client.beginReading()
      for id in 1...Int32(count) { #expect(try await client.reply(to: FetchRequest.self, version: 4).correlationID == id) }
    }
  }

  @Test("connections beyond max.connections are closed, and those that end make room")
  func connectionsMax() async throws {
    try await BrokerUnderTest.run({ $0.connectionsMax = 2 }) { broker in
      for _ in 0..<5 {
        let first = try await broker.client()
        let second = try await broker.client()
        #expect(try await second.ask(ApiVersionsRequest(), version: 0).errorCode == .none)
        let third = try await broker.client()
        #expect(try await third.isClosed())
        #expect(try await first.ask(ApiVersionsRequest(), version: 0).errorCode == .none)
        await first.close()
        await second.close()
        #expect(try await broker.eventually { try await broker.openConnections == 0 })
      }
    }
  }

  @Test("a client that connects before the broker accepts is served when it does")
  func earlyClient() async throws {
    let group = MultiThreadedEventLoopGroup.singleton
    let listener = try await KafkaListener.bind(on: group, host: "127.0.0.1", port: 0)
    let client = try await RawClient.connect(to: try #require(listener.address.port))
    try await client.send(bytes: [0, 0, 0, 1, 42])
    await #expect(throws: RawClient.Silence.self) { try await client.next(within: .milliseconds(100)) }
    try await listener.accept { try $0.pipeline.syncOperations.addHandler(Echo()) }
    #expect(try await client.next().map(Array.init(buffer:)) == [42])
    await client.close()
    try await listener.channel.close().get()
  }

  private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
  }

  @Test("5,000 half-open connections do not stop a client")
  func halfOpen() async throws {
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    let count = min(5_000, (Int(limit.rlim_cur) - 1_000) / 2)
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      // Each promises 100 MB, and sends little of it.
      var beginning = ByteBuffer(integer: Int32(100_000_000))
      beginning.writeInteger(Int16(0))
      var sockets: [CInt] = []
      defer { for socket in sockets { Glibc.close(socket) } }
      for _ in 0..<count { sockets.append(try halfOpenConnection(to: broker.port, sending: beginning)) }
      #expect(try await broker.eventually { try await broker.openConnections == count })
      let client = try await broker.client()
      let produced = try await client.ask(produceRequest("t", [(0, try batch(["a"]))]), version: 7)
      #expect(produced.responses[0].partitionResponses[0].errorCode == .none)
      let fetched = try await client.ask(fetchRequest("t", [(0, 0)]), version: 4)
      #expect(try fetched.parts[0].values == ["a"])
    }
  }

  @Test("stopping ends the waits, answers what is under way and closes every connection")
  func drain() async throws {
    try await BrokerUnderTest.run { broker in
      try await broker.createTopic("t")
      let client = try await broker.client()
      try await client.send(
        RawClient.frame(fetchRequest("t", [(0, 0)], waitMilliseconds: .max), version: 4, correlationID: 1))
      #expect(try await broker.eventually { !broker.broker.loops[0].parked.isEmpty })
      let start = ContinuousClock.now
      await broker.broker.stop(patience: .seconds(20))
      #expect(ContinuousClock.now - start < .seconds(5))
      #expect(try await client.reply(to: FetchRequest.self, version: 4).correlationID == 1)
      #expect(try await client.isClosed())
    }
  }
}

/// A connection that says `beginning` and nothing more.
private func halfOpenConnection(to port: Int, sending beginning: ByteBuffer) throws -> CInt {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = in_port_t(port).bigEndian
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  let result = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
  }
  try #require(descriptor >= 0 && result == 0)
  let sent = beginning.withUnsafeReadableBytes { write(descriptor, $0.baseAddress!, $0.count) }
  try #require(sent == beginning.readableBytes)
  return descriptor
}
