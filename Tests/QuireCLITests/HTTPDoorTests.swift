import Export
import NIOCore
import NIOPosix
import Testing

@testable import QuireCLI

@Suite("The HTTP door, as a client sees it")
struct HTTPDoorTests {
  /// Posts to a server that sends these bytes and hangs up; what was received goes to `received`.
  private func post(answer: String, _ received: inout String, taking failure: (any Error)? = nil) async throws {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(OneAnswer(ByteBuffer(string: answer)))
        }
      }
      .bind(host: "127.0.0.1", port: 0).get()
    defer { server.close(promise: nil) }
    let address = try ServerAddress(parsing: "127.0.0.1:\(server.localAddress!.port!)")
    var text = ""
    defer { received = text }
    try await HTTPDoor(server: address).post("/v1/query", .object([("sql", .string("SELECT 1"))])) {
      if let failure { throw failure }
      text += String(buffer: $0)
    }
  }

  private final class OneAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: ByteBuffer
    private var request = ""
    init(_ answer: ByteBuffer) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      request += String(buffer: unwrapInboundIn(data))
      guard request.hasSuffix(#"{"sql":"SELECT 1"}"#) else { return }
      let channel = context.channel
      context.writeAndFlush(wrapOutboundOut(answer)).whenComplete { _ in channel.close(promise: nil) }
    }
  }

  private static let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

  @Test("a whole answer is handed on")
  func whole() async throws {
    var received = ""
    try await post(answer: Self.chunked + "3\r\na\nb\r\n1\r\n\n\r\n0\r\n\r\n", &received)
    #expect(received == "a\nb\n")
  }

  @Test("an answer without its last chunk is a failure, though its rows were handed on")
  func cutOff() async throws {
    var received = ""
    let failure = await #expect(throws: CommandFailure.self) {
      try await post(answer: Self.chunked + "3\r\na\nb\r\n", &received)
    }
    #expect(received == "a\nb")
    #expect(failure?.message.contains("cut off") == true)
  }

  @Test("what the receiver throws is what the caller gets: a closed output is no cut off answer")
  func takerFails() async throws {
    var received = ""
    await #expect(throws: OutputClosed.self) {
      try await post(answer: Self.chunked + "1\r\na\r\n0\r\n\r\n", &received, taking: OutputClosed())
    }
  }

  @Test("the server's own words are the message")
  func refusal() async throws {
    var received = ""
    let body = #"{"error":{"message":"no such column: valu"}}"#
    let failure = await #expect(throws: CommandFailure.self) {
      try await post(
        answer: "HTTP/1.1 400 Bad Request\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)", &received)
    }
    #expect(failure?.message == "no such column: valu")
    #expect(received == "")
  }

  @Test("nothing, or something else than HTTP, is no answer", arguments: ["", "SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\n"])
  func nonsense(_ answer: String) async throws {
    var received = ""
    await #expect(throws: CommandFailure.self) { try await post(answer: answer, &received) }
  }
}
