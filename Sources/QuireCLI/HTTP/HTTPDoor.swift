internal import Export
internal import KafkaClient
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// The HTTP door of a node: one POST per connection, the answer's body handed on as it comes.
struct HTTPDoor: Sendable {
  /// For a connection to come about. How long an answer takes is up to the node, which has limits of its own.
  private static let connectTimeout = TimeAmount.seconds(5)
  /// Bytes of an error's body that are read.
  private static let errorBytesMax = 64 << 10

  let server: ServerAddress

  /// Posts JSON and hands the body of the answer to `take`, chunk by chunk; what `take` throws ends the request.
  ///
  /// - Throws: `CommandFailure`: nobody there, the node's own error message, or an answer that was cut off, of which `take` may have
  ///   had a part.
  func post(_ path: String, _ body: JSON, take: (ByteBuffer) throws -> Void) async throws {
    try await request(path, body, take: take)
  }

  /// As `post`, for what only looks.
  func get(_ path: String, take: (ByteBuffer) throws -> Void) async throws { try await request(path, nil, take: take) }

  /// - Parameter body: nil for a GET.
  private func request(_ path: String, _ body: JSON?, take: (ByteBuffer) throws -> Void) async throws {
    let channel = try await connect()
    do {
      try await channel.executeThenClose { inbound, outbound in
        try await send(path, body, to: outbound)
        try await receive(from: inbound, take: take)
      }
    } catch let failure as CommandFailure {
      throw failure
    } catch let failure as TakeFailure {
      throw failure.cause
    } catch let cancelled as CancellationError {
      throw cancelled
    } catch {
      try Task.checkCancellation()
      throw Self.cutOff
    }
  }

  /// What `take` threw, told apart from what went wrong with the connection.
  private struct TakeFailure: Error { var cause: any Error }

  private static let cutOff = CommandFailure(
    "the answer was cut off: the server stopped, or met an error in the middle of it, which its log names")

  private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

  private func connect() async throws -> Connection {
    do {
      return try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(Self.connectTimeout)
        .connect(host: server.host, port: server.port) { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            return try NIOAsyncChannel(wrappingChannelSynchronously: channel)
          }
        }
    } catch {
      throw CommandFailure("cannot reach http://\(server.authority): \(ConnectFailure.reason(error))")
    }
  }

  private func send(
    _ path: String, _ body: JSON?, to outbound: NIOAsyncChannelOutboundWriter<HTTPClientRequestPart>
  ) async throws {
    let content = ByteBuffer(string: body?.text ?? "")
    var head = HTTPRequestHead(version: .http1_1, method: body == nil ? .GET : .POST, uri: server.path + path)
    head.headers = [
      "Host": server.authority, "User-Agent": "quire/\(Quire.version)", "Content-Type": "application/json",
      "Content-Length": "\(content.readableBytes)", "Connection": "close", "TE": "trailers",
    ]
    do {
      try await outbound.write(contentsOf: [.head(head), .body(.byteBuffer(content)), .end(nil)])
    } catch let cancelled as CancellationError {
      throw cancelled
    } catch {
      // The server may have refused without reading everything: what it said is still to be received, and explains more than this.
    }
  }

  private func receive(
    from inbound: NIOAsyncChannelInboundStream<HTTPClientResponsePart>, take: (ByteBuffer) throws -> Void
  ) async throws {
    var status: HTTPResponseStatus?
    var error = ByteBuffer()
    for try await part in inbound {
      switch part {
      case .head(let head):
        if head.status.code >= 200 { status = head.status }
      case .body(let bytes):
        if status == .ok {
          do { try take(bytes) } catch { throw TakeFailure(cause: error) }
        } else if error.readableBytes < Self.errorBytesMax {
          error.writeImmutableBuffer(bytes)
        }
      case .end(let trailers):
        guard let status else { continue }
        // An error behind the first rows.
        if let text = trailers?.first(name: "Quire-Error") {
          throw Self.failure(in: ByteBuffer(string: "{\"error\":\(text)}")) ?? Self.cutOff
        }
        if status == .ok { return }
        throw Self.failure(in: error) ?? CommandFailure("\(server.authority) answered \(status.code) \(status.reasonPhrase)")
      }
    }
    // The connection ended without the end of an answer.
    if status == nil { throw CommandFailure("\(server.authority) closed the connection without an answer") }
    throw Self.cutOff
  }

  /// What `{"error":{"message":"…","position":…}}` says.
  static func failure(in body: ByteBuffer) -> CommandFailure? {
    let json = body.withUnsafeReadableBytes { try? JSONReader.read($0) }
    guard let error = json?["error"], let message = error["message"]?.string else { return nil }
    return CommandFailure(message, position: error["position"]?.integer.map { Int($0) })
  }
}
