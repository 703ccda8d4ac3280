import Hummingbird
import Logging
import Model
import NIOCore
import Query
import Synchronization

/// `/v1/query` and `/v1/export`: rows stream while they are found.
///
/// An error before the first byte is answered with a status and its sentence. One after it is said where the client can see it (see
/// `AnswerEnding`), and no client can take half an answer for a whole one.
final class HistoryRoutes: Sendable {
  /// How long a stopping node lets answers in progress go on.
  static let drainTime = TimeAmount.seconds(5)

  private struct Running {
    var outputs: [ObjectIdentifier: StreamedOutput] = [:]
    var followed: [ObjectIdentifier: StreamedOutput] = [:]
    var isStopping = false
  }

  private let doors: HistoryDoors
  private let concurrentMax: Int
  private let followedMax: Int
  private let stallTime: Duration
  private let logger: Logger
  private let running = Mutex(Running())

  init(doors: HistoryDoors, _ configuration: GatewayConfiguration, logger: Logger) {
    self.doors = doors
    concurrentMax = configuration.concurrentQueriesMax
    followedMax = configuration.followedQueriesMax
    stallTime = configuration.stallTime
    self.logger = logger
  }

  func query(_ request: Request, _ context: GatewayContext) async throws -> Response {
    let lastEventID = request.headers[.lastEventID]
    let wantsEvents = EventStream.isWanted(by: request)
    let question: QueryRequest
    switch await Self.parse(
      request,
      { [doors] body throws(RequestRejection) in
        try QueryRequest(json: body, wantsEvents: wantsEvents, lastEventID: lastEventID, now: doors.now())
      })
    {
    case .success(let parsed): question = parsed
    case .failure(let refusal): return JSONReply.error(refusal.failure, refusal.status)
    }
    return await respond(
      to: request, context, isFollowing: question.follow != nil, AnswerEnding(question.format), question.format.mediaType
    ) { [doors] output in try doors.query(question, output) }
  }

  /// For an EventSource, which can only GET.
  func follow(_ request: Request, _ context: GatewayContext) async throws -> Response {
    guard EventStream.isWanted(by: request) else {
      return JSONReply.error(
        AnswerFailure("request", "GET follows a statement and takes Accept: text/event-stream; POST asks once"), .notAcceptable)
    }
    // A page of another site can send this without asking first, though it cannot read the answer.
    guard EventStream.isOwn(request) else {
      return JSONReply.error(.forbidden, "requests from other origins are refused")
    }
    let question: QueryRequest
    do throws(RequestRejection) {
      let given = try QueryString.members(of: request.uri.query ?? "")
      question = try QueryRequest(
        sql: given["sql"], parameters: given["parameters"], from: given["from"], lastEventID: request.headers[.lastEventID],
        now: doors.now())
    } catch {
      return JSONReply.error(.badRequest, error.message)
    }
    return await respond(
      to: request, context, isFollowing: true, AnswerEnding(question.format), question.format.mediaType
    ) { [doors] output in try doors.query(question, output) }
  }

  func export(_ request: Request, _ context: GatewayContext) async throws -> Response {
    let question: ExportRequest
    switch await Self.parse(request, { body throws(RequestRejection) in try ExportRequest(json: body) }) {
    case .success(let parsed): question = parsed
    case .failure(let refusal): return JSONReply.error(refusal.failure, refusal.status)
    }
    return await respond(to: request, context, isFollowing: false, .cutOff, question.format.mediaType) { [doors] output in
      try doors.export(question, output)
    }
  }

  /// Takes no further requests, and interrupts those that still run after a while; those that never end, at once.
  func drain(over group: any EventLoopGroup) {
    let followed = running.withLock { running in
      running.isStopping = true
      return Array(running.followed.values)
    }
    for output in followed { output.fail(AnswerFailure("unavailable", "the node is stopping")) }
    group.next().scheduleTask(in: Self.drainTime) {
      for output in self.running.withLock({ Array($0.outputs.values) }) { output.abandon() }
    }
  }

  /// Returns when no thread reads history for an answer any more, or after a while.
  func areDone() async {
    let deadline = ContinuousClock.now + .seconds(5)
    while ContinuousClock.now < deadline, !running.withLock({ $0.outputs.isEmpty && $0.followed.isEmpty }) {
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  private struct Refusal: Error {
    var failure: AnswerFailure
    var status: HTTPResponse.Status
  }

  private static func parse<Question>(
    _ request: Request, _ parse: (ByteBuffer) throws(RequestRejection) -> Question
  ) async -> Result<Question, Refusal> {
    do {
      let body = try await request.body.collect(upTo: Limits.httpBodyBytesMax)
      return .success(try parse(body))
    } catch is NIOTooManyBytesError {
      let message = "the body is larger than \(Limits.httpBodyBytesMax) bytes"
      return .failure(Refusal(failure: AnswerFailure("request", message), status: .contentTooLarge))
    } catch let rejection as RequestRejection {
      return .failure(Refusal(failure: AnswerFailure("request", rejection.message), status: .badRequest))
    } catch {
      return .failure(Refusal(failure: AnswerFailure("request", "the body could not be read"), status: .badRequest))
    }
  }

  private func respond(
    to request: Request, _ context: GatewayContext, isFollowing: Bool, _ ending: AnswerEnding, _ contentType: String,
    run: @escaping @Sendable (StreamedOutput) throws -> Void
  ) async -> Response {
    // The answer's other side waits for the client as well, and is let go with the connection.
    let output = StreamedOutput(stallTime: stallTime) { [channel = context.channel, stallTime, logger] in
      logger.warning("an answer was cut off", metadata: ["reason": "its client took nothing of it for \(stallTime)"])
      channel.close(mode: .all, promise: nil)
    }
    if let refusal = admit(output, isFollowing) { return JSONReply.error(refusal) }
    let work: @Sendable () -> Void = {
      let failure: AnswerFailure?
      do {
        try run(output)
        failure = nil
      } catch {
        failure = AnswerFailure(error)
      }
      // Before its client sees the end: its next request must find room.
      self.running.withLock { running in
        running.outputs[ObjectIdentifier(output)] = nil
        running.followed[ObjectIdentifier(output)] = nil
      }
      if let failure { output.fail(failure) } else { output.finish() }
    }
    if isFollowing {
      // A client that is dead without a word is found out by the system.
      context.channel.setOption(.socketOption(.so_keepalive), value: 1).whenFailure { _ in }
      if !OwnThread.run(work) {
        running.withLock { $0.followed[ObjectIdentifier(output)] = nil }
        return JSONReply.error(AnswerFailure("busy", "there is no thread to follow the statement with; try again"))
      }
    } else {
      doors.runOnReadThread(work)
    }
    context.channel.triggerUserOutboundEvent(DisconnectWatch.AnswerBegins(output: output), promise: nil)
    let takesTrailers = request.headers[.te]?.lowercased().contains("trailers") ?? false
    return await answer(output, takesTrailers ? .trailer : ending, contentType)
  }

  /// - Returns: why not now.
  private func admit(_ output: StreamedOutput, _ isFollowing: Bool) -> AnswerFailure? {
    // Also those of other doors: it would only wait for one of their threads.
    let isFull = doors.queries.isFull(isFollowing: isFollowing)
    return running.withLock { running in
      if running.isStopping { return AnswerFailure("unavailable", "the node is stopping") }
      if isFollowing {
        if isFull || running.followed.count >= followedMax {
          return AnswerFailure("busy", "\(followedMax) statements are followed already; try again")
        }
        running.followed[ObjectIdentifier(output)] = output
      } else {
        if isFull || running.outputs.count >= concurrentMax {
          return AnswerFailure("busy", "\(concurrentMax) statements are running already; try again")
        }
        running.outputs[ObjectIdentifier(output)] = output
      }
      return nil
    }
  }

  private func answer(_ output: StreamedOutput, _ ending: AnswerEnding, _ contentType: String) async -> Response {
    var headers: HTTPFields = [.contentType: contentType]
    if contentType == EventStream.mediaType { headers[.cacheControl] = "no-store" }
    switch await output.next() {
    case .failure(let failure):
      return JSONReply.error(failure)
    case .end:
      return Response(status: .ok, headers: headers)
    case .bytes(let bytes):
      if ending == .trailer { headers[.trailer] = "Quire-Error" }
      let body = ResponseBody { writer in
        do {
          if bytes.readableBytes > 0 { try await writer.write(bytes) }
          while true {
            switch await output.next() {
            case .bytes(let more): if more.readableBytes > 0 { try await writer.write(more) }
            case .end: return try await writer.finish(nil)
            case .failure(let failure):
              self.logger.warning("an answer was cut off", metadata: ["reason": "\(failure.message)"])
              if let text = ending.text(of: failure) { try await writer.write(ByteBuffer(string: text)) }
              switch ending {
              case .trailer: return try await writer.finish([.quireError: failure.fieldValue])
              case .event: return try await writer.finish(nil)
              default: throw AnswerCutOff(reason: failure.message)
              }
            }
          }
        } catch {
          output.abandon()
          throw error
        }
      }
      return Response(status: .ok, headers: headers, body: body)
    }
  }
}

/// An answer that failed after its first byte; closes the connection.
private struct AnswerCutOff: Error {
  var reason: String
}
