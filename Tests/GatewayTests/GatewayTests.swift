import Gateway
import Logging
import Model
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

struct Refused: Error, CustomStringConvertible {
  var description: String
}

/// Answers statements by their text: what the SQL room does is its own tests' matter.
final class FakeHistory: Sendable {
  let isInterrupted = Atomic<Bool>(false)
  let isRunning = Atomic<Bool>(false)

  func query(_ request: QueryRequest, _ output: StreamedOutput) throws {
    switch request.sql {
    case "three": for row in 1...3 { try output.write(ByteBuffer(string: "row \(row)\n")) }
    case "none": break
    case "echo": try output.write(ByteBuffer(string: "\(request.format) \(request.parameters.sorted { $0.key < $1.key })"))
    case "refused": throw Refused(description: "no such table: \"x\"")
    case "late":
      try output.write(ByteBuffer(string: "row 1\n"))
      throw Refused(description: "damaged")
    case "endless":
      output.onAbandoned { self.isInterrupted.store(true, ordering: .releasing) }
      isRunning.store(true, ordering: .releasing)
      while !isInterrupted.load(ordering: .acquiring) { usleepMilliseconds(1) }
      throw Refused(description: "interrupted")
    case "flood":
      isRunning.store(true, ordering: .releasing)
      defer { isRunning.store(false, ordering: .releasing) }
      while true { try output.write(ByteBuffer(repeating: 0x20, count: 1 << 16)) }
    default: throw Refused(description: "unexpected")
    }
  }
}

func withGateway(
  concurrentQueriesMax: Int = 2, stallTime: Duration = .seconds(60), readiness: @escaping @Sendable () -> String? = { nil },
  metrics: MetricsRegistry = MetricsRegistry(), mirrors: (any MirrorLogs)? = nil,
  _ body: @Sendable (Int, FakeHistory) async throws -> Void
) async throws {
  let fake = FakeHistory()
  let threads = NIOThreadPool(numberOfThreads: 4)
  threads.start()
  let doors = HistoryDoors(
    query: { try fake.query($0, $1) },
    export: { request, output in try output.write(ByteBuffer(string: "export of \(request.topics)\n")) },
    runOnReadThread: { work in threads.submit { _ in work() } }, mirrors: mirrors)
  let (ports, bound) = AsyncStream<Int>.makeStream()
  let gateway = Gateway(
    configuration: GatewayConfiguration(
      listen: HostPort(host: "127.0.0.1", port: 0), advertisedHosts: ["events.example"],
      concurrentQueriesMax: concurrentQueriesMax, stallTime: stallTime),
    doors: doors, metrics: metrics, readiness: readiness, group: MultiThreadedEventLoopGroup.singleton,
    logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
  ) { address in
    bound.yield(address.port)
    bound.finish()
  }
  let services = ServiceGroup(services: [gateway], logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await services.run() }
    var iterator = ports.makeAsyncIterator()
    let port = try #require(await iterator.next())
    try await body(port, fake)
    await services.triggerGracefulShutdown()
    try await group.waitForAll()
  }
  try await threads.shutdownGracefully()
}

private func exchange(_ port: Int, _ text: String) async throws -> String {
  try await RawConnection.open(port: port).exchange(text)
}

@Suite(.timeLimit(.minutes(1))) struct GatewayTests {
  @Test("health answers always, ready only when the node serves")
  func probes() async throws {
    let reason = Mutex<String?>("starting")
    try await withGateway(readiness: { reason.withLock { $0 } }) { port, _ in
      let health = try await exchange(port, request("GET", "/health", host: "10.1.2.3:99"))
      #expect(health.hasPrefix("HTTP/1.1 200"))
      let starting = try await exchange(port, request("GET", "/ready", host: "10.1.2.3:99"))
      #expect(starting.hasPrefix("HTTP/1.1 503"))
      #expect(starting.contains("{\"status\":\"starting\"}"))
      reason.withLock { $0 = nil }
      let ready = try await exchange(port, request("GET", "/ready"))
      #expect(ready.hasPrefix("HTTP/1.1 200"))
    }
  }

  @Test("running statements are listed, and one that is not there cannot be cancelled")
  func queries() async throws {
    try await withGateway { port, _ in
      let list = try await exchange(port, request("GET", "/v1/queries"))
      #expect(list.hasPrefix("HTTP/1.1 200") && list.contains("{\"queries\":[]}"))
      let gone = try await exchange(port, request("DELETE", "/v1/queries/7"))
      #expect(gone.hasPrefix("HTTP/1.1 404"))
      let wrong = try await exchange(port, request("DELETE", "/v1/queries/x"))
      #expect(wrong.hasPrefix("HTTP/1.1 400"))
      let limited = try await exchange(
        port, post("/v1/query", "{\"sql\":\"three\",\"limits\":{\"time_ms\":5,\"rows\":1}}"))
      #expect(limited.hasPrefix("HTTP/1.1 400") && limited.contains("unknown limit 'rows'"))
    }
  }

  @Test(
    "a Host header that is not this node's is refused",
    arguments: [
      ("localhost", true), ("LOCALHOST:8080", true), ("127.0.0.1:1", true), ("[::1]:8080", true), ("events.example", true),
      ("evil.example", false), ("localhost.evil.example", false), ("192.168.1.1", false), ("127.0.0.1.evil.example:80", false),
    ])
  func hosts(host: String, isAllowed: Bool) async throws {
    try await withGateway { port, _ in
      let reply = try await exchange(port, request("GET", "/metrics", host: host))
      #expect(reply.hasPrefix(isAllowed ? "HTTP/1.1 200" : "HTTP/1.1 403"), "\(reply)")
    }
  }

  @Test("a request from a page of another origin is refused, one of this node's own is not")
  func origins() async throws {
    try await withGateway { port, _ in
      func status(_ origin: String) async throws -> Substring {
        let text = request(
          "POST", "/v1/query", host: "localhost:8080", headers: ["Content-Type: application/json", "Origin: \(origin)"],
          body: "{\"sql\":\"three\"}")
        return try await exchange(port, text).prefix(12)
      }
      let own = try await status("http://localhost:8080")
      #expect(own == "HTTP/1.1 200")
      let otherPort = try await status("http://localhost:3000")
      #expect(otherPort == "HTTP/1.1 403")
      let foreign = try await status("https://evil.example")
      #expect(foreign == "HTTP/1.1 403")
      let opaque = try await status("null")
      #expect(opaque == "HTTP/1.1 403")
    }
  }

  @Test(
    "a body that is not what is asked for is refused with a sentence",
    arguments: [
      ("{\"sql\":\"three\"}", "text/plain", "415", "application/json"),
      ("{\"sql\":\"three\"", "application/json", "400", "not JSON"),
      ("{}", "application/json; charset=utf-8", "400", "no 'sql'"),
      ("{\"sql\":7}", "application/json", "400", "'sql'"),
      ("[1]", "application/json", "400", "not a JSON object"),
      ("{\"sql\":\"three\",\"fromat\":\"csv\"}", "application/json", "400", "'fromat'"),
      ("{\"sql\":\"three\",\"format\":\"xml\"}", "application/json", "400", "table, json, jsonl, csv"),
      ("{\"sql\":\"\(String(repeating: "x", count: 1 << 20))\"}", "application/json", "413", "larger than"),
    ])
  func bodies(body: String, type: String, status: String, sentence: String) async throws {
    try await withGateway { port, _ in
      let reply = try await exchange(port, post("/v1/query", body, headers: ["Content-Type: \(type)"]))
      #expect(reply.hasPrefix("HTTP/1.1 \(status)"), "\(reply)")
      #expect(reply.contains(sentence), "\(reply)")
    }
  }

  @Test("rows stream to the end, and no rows are an empty answer")
  func rows() async throws {
    try await withGateway { port, _ in
      let reply = try await exchange(port, post("/v1/query", "{\"sql\":\"three\",\"format\":\"csv\"}"))
      #expect(reply.lowercased().contains("content-type: text/csv"))
      for row in 1...3 { #expect(reply.contains("row \(row)\n")) }
      #expect(reply.hasSuffix("0\r\n\r\n"))
      let empty = try await exchange(port, post("/v1/query", "{\"sql\":\"none\"}"))
      #expect(empty.hasPrefix("HTTP/1.1 200"))
      let export = try await exchange(port, post("/v1/export", "{\"topics\":[\"a\"]}"))
      #expect(export.contains("export of [\"a\"]\n"))
    }
  }

  @Test("parameters keep their types, integers to the last digit")
  func parameters() async throws {
    try await withGateway { port, _ in
      let body = "{\"sql\":\"echo\",\"parameters\":{\"a\":9223372036854775807,\"b\":1.5,\"c\":\"x\",\"d\":null,\"e\":true}}"
      let reply = try await exchange(port, post("/v1/query", body))
      for part in ["json", "integer(9223372036854775807)", "real(1.5)", "text(\"x\")", "null", "integer(1)"] {
        #expect(reply.contains(part), "\(reply)")
      }
    }
  }

  @Test("an error before the first byte is status 400 with its sentence")
  func earlyError() async throws {
    try await withGateway { port, _ in
      let reply = try await exchange(port, post("/v1/query", "{\"sql\":\"refused\"}"))
      #expect(reply.hasPrefix("HTTP/1.1 400"))
      #expect(reply.contains("{\"error\":{\"code\":\"request\",\"message\":\"no such table: \\\"x\\\"\"}}"))
    }
  }

  @Test("an error after the first byte is the last line, and cuts the connection off without the final chunk")
  func lateError() async throws {
    try await withGateway { port, _ in
      let reply = try await exchange(port, post("/v1/query", "{\"sql\":\"late\"}"))
      #expect(reply.contains("row 1\n"))
      #expect(!reply.hasSuffix("0\r\n\r\n"))
      #expect(reply.contains("\n{\"error\":{\"code\":\"request\",\"message\":\"damaged\"}}\n"))
      let trailed = try await exchange(
        port, post("/v1/query", "{\"sql\":\"late\"}", headers: ["Content-Type: application/json", "TE: trailers"]))
      #expect(trailed.lowercased().contains("\r\n0\r\nquire-error: {\"code\":\"request\",\"message\":\"damaged\"}\r\n\r\n"))
    }
  }

  @Test("a client that leaves interrupts a statement that writes nothing")
  func disconnect() async throws {
    try await withGateway { port, fake in
      let connection = try await RawConnection.open(port: port)
      try await connection.sendAndLeave(post("/v1/query", "{\"sql\":\"endless\"}"))
      while !fake.isInterrupted.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(2)) }
    }
  }

  @Test("a client that does not read is cut off, and its thread and its place are free")
  func stalled() async throws {
    try await withGateway(concurrentQueriesMax: 1, stallTime: .milliseconds(300)) { port, fake in
      let connection = try await RawConnection.open(port: port)
      let reply = try await connection.exchange(post("/v1/query", "{\"sql\":\"flood\"}")) {
        while !fake.isRunning.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(2)) }
        while fake.isRunning.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(2)) }
      }
      #expect(reply.hasPrefix("HTTP/1.1 200") && !reply.hasSuffix("0\r\n\r\n"))
      let accepted = try await exchange(port, post("/v1/query", "{\"sql\":\"three\"}"))
      #expect(accepted.hasPrefix("HTTP/1.1 200"))
    }
  }

  @Test("a statement more than run at once is refused, and the others go on")
  func concurrency() async throws {
    try await withGateway(concurrentQueriesMax: 1) { port, fake in
      async let endless = exchange(port, post("/v1/query", "{\"sql\":\"endless\"}"))
      while !fake.isRunning.load(ordering: .acquiring) { try await Task.sleep(for: .milliseconds(2)) }
      let refused = try await exchange(port, post("/v1/query", "{\"sql\":\"three\"}"))
      #expect(refused.hasPrefix("HTTP/1.1 503"))
      fake.isInterrupted.store(true, ordering: .releasing)
      let interrupted = try await endless
      #expect(interrupted.hasPrefix("HTTP/1.1 400"))
      let accepted = try await exchange(port, post("/v1/query", "{\"sql\":\"three\"}"))
      #expect(accepted.hasPrefix("HTTP/1.1 200"))
    }
  }
  @Test("requests are counted by route and status, and timed to the end of the answer; paths that are no route are one")
  func counted() async throws {
    let metrics = MetricsRegistry()
    try await withGateway(metrics: metrics) { port, _ in
      _ = try await exchange(port, post("/v1/query", "{\"sql\":\"three\"}"))
      _ = try await exchange(port, post("/v1/query", "{\"sql\":\"refused\"}"))
      _ = try await exchange(port, post("/v1/query", "{\"sql\":\"late\"}"))
      _ = try await exchange(port, request("GET", "/health", host: "evil.example"))
      _ = try await exchange(port, request("GET", "/metrics", host: "evil.example"))
      _ = try await exchange(port, request("GET", "/made/up/1"))
      _ = try await exchange(port, request("GET", "/made/up/2"))
      let text = try await exchange(port, request("GET", "/metrics"))
      for line in [
        "quire_http_requests_total{route=\"/v1/query\",status=\"200\"} 2",
        "quire_http_requests_total{route=\"/v1/query\",status=\"400\"} 1",
        "quire_http_requests_total{route=\"/health\",status=\"200\"} 1",
        "quire_http_requests_total{route=\"/metrics\",status=\"403\"} 1",
        "quire_http_requests_total{route=\"other\",status=\"404\"} 2",
        "quire_http_request_seconds_count{route=\"/v1/query\"} 3",
        "quire_http_request_seconds_count{route=\"other\"} 2",
      ] {
        #expect(text.contains(line + "\n"), "\(line)")
      }
    }
  }
}
