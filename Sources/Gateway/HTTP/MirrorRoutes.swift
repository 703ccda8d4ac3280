import Hummingbird
import Model
import NIOCore
import Query
import Synchronization

/// `/v1/mirror/…`: how `quire mirror` brings the batches of another cluster, at their own offsets.
///
///     GET  /v1/mirror/TOPIC                                                        where its logs end
///     POST /v1/mirror/TOPIC/PARTITION/begin?topic-id=ID&offset=N                   a log without records begins at N
///     POST /v1/mirror/TOPIC/PARTITION?topic-id=ID[&log-start=N]      batches       goes on with them
///
/// The answer to each POST says where the log begins and ends, and comes when that is durable. 409: the batches do not go on where the
/// log ends.
final class MirrorRoutes: Sendable {
  static let mediaType = "application/vnd.quire.batches"
  private static let path = "/v1/mirror"

  private let logs: any MirrorLogs
  private let running = Mutex(0)

  init(logs: any MirrorLogs) { self.logs = logs }

  static func takes(_ path: String) -> Bool { path.hasPrefix(Self.path + "/") }

  func answer(_ route: GatewayRoute, _ request: Request, _ context: GatewayContext) async -> Response {
    let parameters = request.uri.queryParameters
    switch route {
    case .mirror: return await describe(context.parameters.get("topic") ?? "")
    case .beginMirror:
      return await change(request, context) { partition, topicID throws(MirrorRefusal) in
        guard let offset = parameters.get("offset", as: Int64.self), offset >= 0 else {
          throw MirrorRefusal(.invalid, "`offset` is missing")
        }
        return try await self.logs.begin(partition, topicID: topicID, at: offset)
      }
    default: return await append(request, context, logStartOffset: parameters.get("log-start", as: Int64.self))
    }
  }

  private func append(_ request: Request, _ context: GatewayContext, logStartOffset: Int64?) async -> Response {
    guard admit() else {
      return JSONReply.error(AnswerFailure("busy", "\(Limits.mirrorRequestsMax) requests bring batches already; try again"))
    }
    defer { running.withLock { $0 -= 1 } }
    let body: ByteBuffer
    do { body = try await request.body.collect(upTo: Limits.mirrorBodyBytesMax) } catch is NIOTooManyBytesError {
      return JSONReply.error(.contentTooLarge, "the body is larger than \(Limits.mirrorBodyBytesMax) bytes")
    } catch {
      return JSONReply.error(.badRequest, "the body is cut off")
    }
    return await change(request, context) { partition, topicID throws(MirrorRefusal) in
      try await self.logs.append(body, to: partition, topicID: topicID, logStartOffset: logStartOffset)
    }
  }

  private func admit() -> Bool {
    running.withLock { running in
      if running >= Limits.mirrorRequestsMax { return false }
      running += 1
      return true
    }
  }

  private func describe(_ topic: String) async -> Response {
    do throws(MirrorRefusal) {
      let (topicID, partitions) = try await logs.describe(topic)
      let list = partitions.map(Self.json).joined(separator: ",")
      return JSONReply.reply(.ok, "{\"topic_id\":\(JSONText.string("\(topicID)")),\"partitions\":[\(list)]}\n")
    } catch { return Self.refuse(error) }
  }

  private func change(
    _ request: Request, _ context: GatewayContext,
    _ work: (TopicPartition, String) async throws(MirrorRefusal) -> MirrorExtent
  ) async -> Response {
    guard let topic = context.parameters.get("topic"), let number = context.parameters.get("partition", as: Int32.self) else {
      return JSONReply.error(.badRequest, "the path is /v1/mirror/TOPIC/PARTITION")
    }
    guard let topicID = request.uri.queryParameters.get("topic-id") else {
      return JSONReply.error(.badRequest, "`topic-id` is missing")
    }
    do throws(MirrorRefusal) {
      let extent = try await work(TopicPartition(topic: topic, partition: number), topicID)
      return JSONReply.reply(.ok, Self.json(extent) + "\n")
    } catch { return Self.refuse(error) }
  }

  private static func json(_ extent: MirrorExtent) -> String {
    """
    {"partition":\(extent.partition),"log_start_offset":\(extent.logStartOffset),"log_end_offset":\(extent.logEndOffset)}
    """
  }

  private static func refuse(_ refusal: MirrorRefusal) -> Response {
    switch refusal.kind {
    case .unknown: JSONReply.error(.notFound, refusal.message)
    case .misplaced: JSONReply.error(.conflict, refusal.message)
    case .invalid: JSONReply.error(.badRequest, refusal.message)
    case .failed: JSONReply.error(AnswerFailure("unavailable", refusal.message))
    }
  }
}
