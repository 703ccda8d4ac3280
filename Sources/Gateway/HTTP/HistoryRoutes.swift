import Hummingbird
import Logging
import Model
import NIOCore
import Synchronization

/// `POST /v1/query` and `POST /v1/export`: rows stream while they are found.
///
/// An error before the first byte is answered with status 400 and its sentence. One after it cannot be: the connection is cut off
/// without the final chunk, so that no client takes half an answer for a whole one, and the log says why.
final class HistoryRoutes: Sendable {
  /// How long a stopping node lets answers in progress go on.
  static let drainTime = TimeAmount.seconds(5)

  private struct Running {
    var outputs: [ObjectIdentifier: StreamedOutput] = [:]
    var isStopping = false
  }

  private let doors: HistoryDoors
  private let concurrentMax: Int
  private let logger: Logger
  private let running = Mutex(Running())

  init(doors: HistoryDoors, concurrentMax: Int, logger: Logger) {
    self.doors = doors
    self.concurrentMax = concurrentMax
    self.logger = logger
  }

  func query(_ request: Request, _ context: GatewayContext) async throws -> Response {
    try await respond(to: request, context, parse: QueryRequest.init(json:), run: doors.query) { query in
      switch query.format {
      case .json: "application/json"
      case .jsonl: "application/x-ndjson"
      case .csv: "text/csv; charset=utf-8"
      case .table: "text/plain; charset=utf-8"
      }
    }
  }

  func export(_ request: Request, _ context: GatewayContext) async throws -> Response {
    try await respond(
      to: request, context, parse: ExportRequest.init(json:), run: doors.export, contentType: \.format.mediaType)
  }

  /// Takes no further requests, and interrupts those that still run after a while.
  func drain(over group: any EventLoopGroup) {
    running.withLock { $0.isStopping = true }
    group.next().scheduleTask(in: Self.drainTime) {
      for output in self.running.withLock({ Array($0.outputs.values) }) { output.abandon() }
    }
  }

  private func respond<Question: Sendable>(
    to request: Request, _ context: GatewayContext,
    parse: (ByteBuffer) throws(RequestRejection) -> Question,
    run: @escaping @Sendable (Question, StreamedOutput) throws -> Void,
    contentType: (Question) -> String
  ) async throws -> Response {
    let body: ByteBuffer
    do {
      body = try await request.body.collect(upTo: Limits.httpBodyBytesMax)
    } catch is NIOTooManyBytesError {
      return JSONReply.error(.contentTooLarge, "the body is larger than \(Limits.httpBodyBytesMax) bytes")
    }
    let question: Question
    do {
      question = try parse(body)
    } catch {
      return JSONReply.error(.badRequest, error.message)
    }
    let output = StreamedOutput()
    if let refusal = admit(output) { return JSONReply.error(refusal) }
    doors.runOnReadThread {
      do {
        try run(question, output)
        output.finish()
      } catch {
        output.fail(AnswerFailure(error))
      }
      self.running.withLock { $0.outputs[ObjectIdentifier(output)] = nil }
    }
    context.channel.triggerUserOutboundEvent(DisconnectWatch.AnswerBegins(output: output), promise: nil)
    return await answer(output, contentType: contentType(question))
  }

  /// - Returns: why not now.
  private func admit(_ output: StreamedOutput) -> AnswerFailure? {
    running.withLock { running in
      if running.isStopping { return AnswerFailure("unavailable", "the node is stopping") }
      if running.outputs.count >= concurrentMax {
        return AnswerFailure("busy", "\(concurrentMax) statements are running already; try again")
      }
      running.outputs[ObjectIdentifier(output)] = output
      return nil
    }
  }

  private func answer(_ output: StreamedOutput, contentType: String) async -> Response {
    switch await output.next() {
    case .failure(let failure):
      return JSONReply.error(failure)
    case .end:
      return Response(status: .ok, headers: [.contentType: contentType])
    case .bytes(let bytes):
      let body = ResponseBody { writer in
        do {
          try await writer.write(bytes)
          while true {
            switch await output.next() {
            case .bytes(let more): try await writer.write(more)
            case .end: return try await writer.finish(nil)
            case .failure(let failure):
              self.logger.warning("an answer was cut off", metadata: ["reason": "\(failure.message)"])
              throw AnswerCutOff(reason: failure.message)
            }
          }
        } catch {
          output.abandon()
          throw error
        }
      }
      return Response(status: .ok, headers: [.contentType: contentType], body: body)
    }
  }
}

/// An answer that failed after its first byte; closes the connection.
private struct AnswerCutOff: Error {
  var reason: String
}
