internal import Export
internal import Model
internal import NIOCore
internal import NIOHTTP1

/// The logs of mirrors in the node that copies go to, over its HTTP door.
struct MirrorTarget: Sendable {
  struct Extent: Sendable, Hashable {
    var partition: Int32
    var logStartOffset: Int64
    var logEndOffset: Int64
  }
  struct Failure: Error {
    enum Kind {
      /// The log does not end where the batches go on.
      case misplaced
      /// Trying again is no use.
      case final
      case passing
    }
    var kind: Kind
    var message: String
  }

  let connections: HTTPConnections

  /// The id of a topic, which is asked for with every change, and where its logs begin and end.
  func describe(_ topic: String) async throws -> (topicID: String, extents: [Extent]) {
    let json = try await ask(HTTPConnections.Request(method: .GET, path: "/v1/mirror/\(topic)"))
    guard let topicID = json["topic_id"]?.string, let partitions = json["partitions"]?.array else { throw Self.strange }
    return (topicID, try partitions.map(Self.extent))
  }

  func begin(_ partition: TopicPartition, topicID: String, at offset: Int64) async throws -> Extent {
    try Self.extent(
      try await ask(
        HTTPConnections.Request(
          method: .POST, path: "\(path(partition))/begin?topic-id=\(topicID)&offset=\(offset)", contentType: Self.mediaType)))
  }

  func append(
    _ batches: ByteBuffer, to partition: TopicPartition, topicID: String, logStartOffset: Int64?
  ) async throws -> Extent {
    let start = logStartOffset.map { "&log-start=\($0)" } ?? ""
    return try Self.extent(
      try await ask(
        HTTPConnections.Request(
          method: .POST, path: "\(path(partition))?topic-id=\(topicID)\(start)", contentType: Self.mediaType, body: batches)))
  }

  private static let mediaType = "application/vnd.quire.batches"
  private static let strange = Failure(kind: .final, message: "the node's answer makes no sense: is it an older Quire?")

  private func path(_ partition: TopicPartition) -> String { "/v1/mirror/\(partition.topic)/\(partition.partition)" }

  private func ask(_ request: HTTPConnections.Request) async throws -> JSON {
    let answer: HTTPConnections.Answer
    do { answer = try await connections.send(request) } catch let failure as HTTPConnections.Failure {
      throw Failure(kind: .passing, message: failure.message)
    }
    guard answer.status == .ok else {
      let message = HTTPDoor.failure(in: answer.body)?.message ?? "the node answered \(answer.status.code) \(answer.status.reasonPhrase)"
      switch answer.status.code {
      case 409: throw Failure(kind: .misplaced, message: message)
      case 500...: throw Failure(kind: .passing, message: message)
      default: throw Failure(kind: .final, message: message)
      }
    }
    guard let json = answer.body.withUnsafeReadableBytes({ try? JSONReader.read($0) }) else { throw Self.strange }
    return json
  }

  private static func extent(_ json: JSON) throws -> Extent {
    guard let number = json["partition"]?.integer, let partition = Int32(exactly: number),
      let start = json["log_start_offset"]?.integer, let end = json["log_end_offset"]?.integer
    else { throw strange }
    return Extent(partition: partition, logStartOffset: start, logEndOffset: end)
  }
}
