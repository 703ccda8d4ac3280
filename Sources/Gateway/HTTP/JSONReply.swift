import Hummingbird
import NIOCore
import Query

/// The small JSON answers.
enum JSONReply {
  static func error(_ status: HTTPResponse.Status, _ message: String) -> Response {
    reply(status, "{\"error\":{\"message\":\(JSONText.string(message))}}\n")
  }

  static func reply(_ status: HTTPResponse.Status, _ json: String) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json"], body: ResponseBody(byteBuffer: ByteBuffer(string: json)))
  }
}
