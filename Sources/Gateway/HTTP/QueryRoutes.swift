import Hummingbird
import NIOCore
import Query

/// `GET /v1/queries` and `DELETE /v1/queries/{id}`: the statements that run, and how to stop one.
struct QueryRoutes: Sendable {
  let registry: QueryRegistry

  func list() -> Response {
    let queries = registry.running.map { query in
      """
      {"id":\(query.id),"door":\(JSONText.string(query.door)),"sql":\(JSONText.string(query.sql)),\
      "started_ms":\(query.startedMilliseconds),"seconds":\(query.seconds),"rows":\(query.rows),\
      "batches_read":\(query.batchesRead),"records_decoded":\(query.recordsDecoded),\
      "output_bytes":\(query.outputBytes),"is_cancelled":\(query.isCancelled),"is_following":\(query.isFollowing)}
      """
    }
    return JSONReply.reply(.ok, "{\"queries\":[\(queries.joined(separator: ",\n"))]}\n")
  }

  func cancel(_ id: String?) -> Response {
    guard let id, let number = Int64(id) else { return JSONReply.error(.badRequest, "the id of a query is a number") }
    guard registry.cancel(number) else { return JSONReply.error(.notFound, "no query \(number) is running") }
    return JSONReply.reply(.ok, "{\"cancelled\":\(number)}\n")
  }
}
