internal import KafkaProtocol
internal import NIOCore

/// One request under way: whose it is, and how to answer it from any thread.
struct Call: Sendable {
  let connection: Connection
  let header: RequestHeader
  let ticket: ReplyQueue.Ticket
  let started: NIODeadline

  var version: Int16 { header.apiVersion }

  /// Encodes the response on the calling thread and sends it when its turn comes.
  func reply(_ response: some KafkaResponse) {
    let encoded = KafkaMessageCodec.encodeResponse(response, correlationID: header.correlationID, version: version)
    finish(encoded)
  }

  /// Ends a request that has no reply.
  func finishSilently() { finish(nil) }

  /// Ends a request that has no reply and failed: the connection closes.
  func closeConnection(_ reason: String) {
    let connection = connection
    onLoop {
      connection.refuse(reason)
      connection.complete(self, with: nil)
    }
  }

  func finish(_ encoded: EncodedMessage?) {
    let connection = connection
    onLoop { connection.complete(self, with: encoded) }
  }

  private func onLoop(_ work: @escaping @Sendable () -> Void) {
    let eventLoop = connection.loop.eventLoop
    if eventLoop.inEventLoop { work() } else { eventLoop.execute(work) }
  }
}
