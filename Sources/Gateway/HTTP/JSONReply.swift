import Hummingbird
import NIOCore
import Query

/// The small JSON answers.
enum JSONReply {
  static func error(_ status: HTTPResponse.Status, _ message: String) -> Response {
    error(AnswerFailure(status == .notFound ? "not_found" : "request", message), status)
  }

  static func error(_ failure: AnswerFailure, _ status: HTTPResponse.Status? = nil) -> Response {
    let status = status ?? failure.status
    var response = reply(status, "{\"error\":\(failure.json)}\n")
    // A slot is free when one of those that run ends, which is mostly soon.
    if status == .serviceUnavailable { response.headers[.retryAfter] = "1" }
    return response
  }

  static func reply(_ status: HTTPResponse.Status, _ json: String) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: ByteBuffer(string: json)))
  }
}
