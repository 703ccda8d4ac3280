import HistorySupport
import Logging
import Model
import NIOCore
import NIOPosix
import Query
import ServiceLifecycle
import Testing

@testable import Gateway

private func withDoor(connectionsMax: Int = 3, _ body: @Sendable (Int) async throws -> Void) async throws {
  var history = MemoryHistory()
  history.add(
    PartitionExtent(topic: "plays", partition: 0, logStartOffset: 0, highWatermark: 1),
    [try MemoryHistory.Batch([TestRecord(1_700_000_000_000, "v")], at: 0)])
  let threads = NIOThreadPool(numberOfThreads: 4)
  threads.start()
  let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
  let (ports, bound) = AsyncStream<Int>.makeStream()
  let door = PostgresDoor(
    configuration: PostgresConfiguration(listen: HostPort(host: "127.0.0.1", port: 0), connectionsMax: connectionsMax),
    history: PostgresHistory(catalog: MemoryCatalog(history), limits: SQLLimits()) { work in threads.submit { _ in work() } },
    group: MultiThreadedEventLoopGroup.singleton, logger: silent
  ) { address in bound.yield(address.port) }
  let services = ServiceGroup(services: [door], logger: silent)
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await services.run() }
    var iterator = ports.makeAsyncIterator()
    let port = try #require(await iterator.next())
    try await body(port)
    await services.triggerGracefulShutdown()
    try await group.waitForAll()
  }
  try await threads.shutdownGracefully()
}

private func startup(_ parameters: [String: String] = ["user": "ada"]) -> ByteBuffer {
  var body = ByteBuffer()
  body.writeInteger(UInt32(3 << 16))
  for (name, value) in parameters {
    body.writeCString(name)
    body.writeCString(value)
  }
  body.writeInteger(UInt8(0))
  var packet = ByteBuffer()
  packet.writeInteger(UInt32(body.readableBytes + 4))
  packet.writeImmutableBuffer(body)
  return packet
}

private func query(_ sql: String) -> ByteBuffer {
  var message = ByteBuffer()
  message.writeMessage("Q") { $0.writeCString(sql) }
  return message
}

/// A client that reads messages.
private struct Client {
  var outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
  var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
  var buffer = ByteBuffer()

  static func open(_ port: Int, _ body: (inout Client) async throws -> Void) async throws {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    try await channel.executeThenClose { inbound, outbound in
      var client = Client(outbound: outbound, inbound: inbound.makeAsyncIterator())
      try await body(&client)
    }
  }

  /// The bytes of messages up to one of `kind`; nil when the connection ended before.
  mutating func read(upTo kind: Character) async throws -> ByteBuffer? {
    while true {
      while buffer.readableBytes >= 5, let length = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt32.self),
        buffer.readableBytes > Int(length)
      {
        let found = buffer.readInteger(as: UInt8.self)
        buffer.moveReaderIndex(forwardBy: 4)
        let body = buffer.readSlice(length: Int(length) - 4)
        if found == kind.asciiValue { return body }
      }
      guard let more = try? await inbound.next() else { return nil }
      buffer.writeImmutableBuffer(more)
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct PostgresDoorTests {
  private static let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"

  @Test("encryption is declined, and the session begins without")
  func encryption() async throws {
    try await withDoor { port in
      try await Client.open(port) { client in
        var request = ByteBuffer()
        request.writeMultipleIntegers(UInt32(8), UInt32(80_877_103))
        try await client.outbound.write(request)
        let reply = try await client.inbound.next()
        #expect(reply == ByteBuffer(string: "N"))
        try await client.outbound.write(startup())
        let ready = try await client.read(upTo: "Z")
        #expect(ready != nil)
      }
    }
  }

  @Test("whoever knows the secret cancels what runs, and only that")
  func cancel() async throws {
    try await withDoor { port in
      try await Client.open(port) { client in
        try await client.outbound.write(startup())
        var key = try #require(try await client.read(upTo: "K"))
        _ = try await client.read(upTo: "Z")
        let numbers = key.readMultipleIntegers(as: (UInt32, UInt32).self)
        let (processID, secret) = try #require(numbers)
        try await client.outbound.write(query(Self.endless))
        try await Task.sleep(for: .milliseconds(50))
        for guess in [secret &+ 1, secret] {
          try await Client.open(port) { other in
            var request = ByteBuffer()
            request.writeMultipleIntegers(UInt32(16), UInt32(80_877_102), processID, guess)
            try await other.outbound.write(request)
            while try await other.inbound.next() != nil {}
          }
        }
        let error = try #require(try await client.read(upTo: "E"))
        #expect(String(buffer: error).contains("57014"))
        try await client.outbound.write(query("select 1"))
        let row = try await client.read(upTo: "D")
        #expect(row != nil)
      }
    }
  }

  @Test("a client that leaves stops its query and frees its place")
  func leaving() async throws {
    try await withDoor(connectionsMax: 1) { port in
      try await Client.open(port) { client in
        try await client.outbound.write(startup())
        _ = try await client.read(upTo: "Z")
        try await client.outbound.write(query(Self.endless))
        try await Client.open(port) { second in
          try await second.outbound.write(startup())
          let refusal = try #require(try await second.read(upTo: "E"))
          #expect(String(buffer: refusal).contains("53300"))
        }
      }
      var isIn = false
      while !isIn {
        try await Client.open(port) { next in
          try await next.outbound.write(startup())
          isIn = try await next.read(upTo: "Z") != nil
        }
      }
    }
  }

  @Test("what is not the protocol ends the connection with one error")
  func nonsense() async throws {
    try await withDoor { port in
      try await Client.open(port) { client in
        try await client.outbound.write(startup())
        _ = try await client.read(upTo: "Z")
        try await client.outbound.write(ByteBuffer(string: "Q\u{7f}\u{7f}\u{7f}\u{7f}"))
        let error = try #require(try await client.read(upTo: "E"))
        #expect(String(buffer: error).contains("08P01"))
        let end = try await client.inbound.next()
        #expect(end == nil)
      }
    }
  }
}
