import NIOCore
import NIOPosix

/// A connection that speaks in plain text, so that tests see what travels: also an answer that is cut off.
struct RawConnection {
  private let channel: NIOAsyncChannel<ByteBuffer, ByteBuffer>

  static func open(port: Int) async throws -> RawConnection {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return RawConnection(channel: channel)
  }

  /// Sends the text and returns everything until the node closes the connection.
  ///
  /// - Parameter meanwhile: done before anything is read.
  func exchange(_ text: String, meanwhile: () async throws -> Void = {}) async throws -> String {
    try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(ByteBuffer(string: text))
      try await meanwhile()
      var reply = ByteBuffer()
      do {
        for try await bytes in inbound { reply.writeImmutableBuffer(bytes) }
      } catch {}  // a reset ends the answer as well
      return String(buffer: reply)
    }
  }

  /// Sends the text and leaves at once.
  func sendAndLeave(_ text: String) async throws {
    try await channel.executeThenClose { _, outbound in try await outbound.write(ByteBuffer(string: text)) }
  }
}

/// A request's text; the connection is to be closed after the answer.
func request(
  _ method: String, _ path: String, host: String = "localhost", headers: [String] = [], body: String? = nil
) -> String {
  var lines = ["\(method) \(path) HTTP/1.1", "Host: \(host)", "Connection: close"] + headers
  if let body { lines += ["Content-Length: \(body.utf8.count)"] }
  return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
}

func post(_ path: String, _ body: String, headers: [String] = ["Content-Type: application/json"]) -> String {
  request("POST", path, headers: headers, body: body)
}
