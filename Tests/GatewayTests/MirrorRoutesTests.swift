import Gateway
import Model
import NIOCore
import Synchronization
import Testing

/// One partition, of topic `t`, that takes anything at its end.
final class FakeMirrors: MirrorLogs {
  private let end = Mutex<Int64>(5)

  func describe(_ topic: String) async throws(MirrorRefusal) -> (topicID: TopicID, partitions: [MirrorExtent]) {
    guard topic == "t" else { throw MirrorRefusal(.unknown, "there is no topic '\(topic)'") }
    return (TopicID(high: 1, low: 2), [MirrorExtent(partition: 0, logStartOffset: 1, logEndOffset: end.withLock { $0 })])
  }

  func begin(_ partition: TopicPartition, topicID: String, at offset: Int64) async throws(MirrorRefusal) -> MirrorExtent {
    throw MirrorRefusal(.misplaced, "it holds records")
  }

  func append(
    _ batches: ByteBuffer, to partition: TopicPartition, topicID: String, logStartOffset: Int64?
  ) async throws(MirrorRefusal) -> MirrorExtent {
    let end = end.withLock { end in
      end += Int64(batches.readableBytes)
      return end
    }
    return MirrorExtent(partition: partition.partition, logStartOffset: logStartOffset ?? 1, logEndOffset: end)
  }
}

@Suite(.timeLimit(.minutes(1))) struct MirrorRoutesTests {
  @Test("batches come in a type that no page can send, and the answer says where the log ends")
  func append() async throws {
    try await withGateway(mirrors: FakeMirrors()) { port, _ in
      func reply(_ path: String, _ type: String) async throws -> String {
        try await RawConnection.open(port: port).exchange(post(path, "four", headers: ["Content-Type: \(type)"]))
      }
      let batches = "application/vnd.quire.batches"
      let good = try await reply("/v1/mirror/t/0?topic-id=x&log-start=3", batches)
      #expect(good.hasPrefix("HTTP/1.1 200") && good.contains("{\"partition\":0,\"log_start_offset\":3,\"log_end_offset\":9}"))
      let text = try await reply("/v1/mirror/t/0?topic-id=x", "text/plain")
      #expect(text.hasPrefix("HTTP/1.1 415"))
      let elsewhere = try await reply("/v1/query", batches)
      #expect(elsewhere.hasPrefix("HTTP/1.1 415"))
      let nameless = try await reply("/v1/mirror/t/0", batches)
      #expect(nameless.hasPrefix("HTTP/1.1 400"))
      let wrong = try await reply("/v1/mirror/t/x?topic-id=x", batches)
      #expect(wrong.hasPrefix("HTTP/1.1 400"))
      let misplaced = try await reply("/v1/mirror/t/0/begin?topic-id=x&offset=7", batches)
      #expect(misplaced.hasPrefix("HTTP/1.1 409") && misplaced.contains("it holds records"))
      let described = try await RawConnection.open(port: port).exchange(request("GET", "/v1/mirror/t"))
      #expect(described.contains("\"log_end_offset\":9"))
      let missing = try await RawConnection.open(port: port).exchange(request("GET", "/v1/mirror/u"))
      #expect(missing.hasPrefix("HTTP/1.1 404"))
    }
  }
}
