import Hummingbird
public import Query

/// What the HTTP door says of the cluster, and does for it.
public protocol ClusterDoor: Sendable {
  func facts() async -> ClusterFacts
  /// Makes this standby the leader.
  ///
  /// - Returns: what was done, in sentences.
  /// - Throws: `ClusterRefusal`.
  func promote(force: Bool) async throws(ClusterRefusal) -> [String]
  /// Takes this leader's standby out.
  func forgetStandby() async throws(ClusterRefusal) -> [String]
}

/// Why something was not done for the cluster, in a sentence.
public struct ClusterRefusal: Error, Sendable {
  public var message: String
  public init(_ message: String) { self.message = message }
}

/// `/v1/cluster`: the cluster as this node sees it; and what its two nodes become, where there is no etcd.
struct ClusterRoutes: Sendable {
  private static let bodyBytesMax = 4096

  let door: any ClusterDoor

  func status() async -> Response { JSONReply.reply(.ok, await door.facts().json + "\n") }

  func promote(_ request: Request) async -> Response {
    guard let body = try? await request.body.collect(upTo: Self.bodyBytesMax) else {
      return JSONReply.error(.badRequest, "the body is too long, or cut off")
    }
    let text = String(buffer: body)
    guard let force = Self.force(in: text) else {
      return JSONReply.error(.badRequest, "the body has to be {} or {\"force\": true}")
    }
    return await change { () async throws(ClusterRefusal) in try await door.promote(force: force) }
  }

  func forgetStandby() async -> Response {
    await change { () async throws(ClusterRefusal) in try await door.forgetStandby() }
  }

  private func change(_ work: () async throws(ClusterRefusal) -> [String]) async -> Response {
    do throws(ClusterRefusal) {
      let words = try await work().map(JSONText.string).joined(separator: ",")
      return JSONReply.reply(.ok, "{\"done\":[\(words)]}\n")
    } catch { return JSONReply.error(.conflict, error.message) }
  }

  /// Nil where it is something else.
  static func force(in text: String) -> Bool? {
    let bare = text.filter { !$0.isWhitespace }
    switch bare {
    case "", "{}", "{\"force\":false}": return false
    case "{\"force\":true}": return true
    default: return nil
    }
  }
}
