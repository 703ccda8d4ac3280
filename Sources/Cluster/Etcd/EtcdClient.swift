internal import AsyncHTTPClient
internal import FoundationEssentials
internal import Glibc
internal import NIOCore
internal import NIOFoundationEssentialsCompat
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// One key, as etcd has it.
struct EtcdEntry: Hashable, Sendable {
  var key: String
  var value: [UInt8]
  /// The revision that wrote it: what a later change compares with.
  var modRevision: Int64
}

/// What has to hold for a transaction to be carried out.
enum EtcdCondition: Hashable, Sendable {
  case absent(String)
  case unchanged(String, modRevision: Int64)
}

/// What a transaction does. At most 128 of them go into one (`--max-txn-ops`).
enum EtcdOperation: Hashable, Sendable {
  case put(String, [UInt8], lease: Int64? = nil)
  case delete(String)
  case deletePrefix(String)
}

/// Speaks to an etcd cluster: one request at a time, to the endpoint that answered last, to the next one when that does not.
///
/// Reads and leases go on to the next endpoint whatever happened. A transaction does so only when it cannot have arrived: made twice, the second
/// would find its own changes and say that it failed.
final class EtcdClient: Sendable {
  private let endpoints: [String]
  private let credentials: (name: String, password: String)?
  private let http: HTTPClient
  private let timeout: TimeAmount
  private let state: Mutex<State>

  private struct State {
    /// The endpoint that answered last.
    var current = 0
    var token: String?
    /// How often an endpoint did not answer in time.
    var troubles: UInt64 = 0
  }

  static let bodyBytesMax = 64 << 20
  private static let pageKeys = 2_000
  private static let lookNanoseconds: UInt64 = 250_000_000

  init(endpoints: [String], credentials: (name: String, password: String)? = nil, timeout: TimeAmount = .seconds(5)) {
    precondition(!endpoints.isEmpty, "no endpoint")
    self.endpoints = endpoints
    self.credentials = credentials
    self.timeout = timeout
    var configuration = HTTPClient.Configuration()
    configuration.timeout.connect = min(timeout, .seconds(1))
    // Another endpoint is better than the same one again.
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.redirectConfiguration = .disallow
    configuration.httpVersion = .http1Only
    http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    state = Mutex(State())
  }

  func close() async { try? await http.shutdown() }

  // MARK: Requests

  /// Every key that begins with `prefix`, in order, as they were at one revision.
  func entries(withPrefix prefix: String) async throws(EtcdError) -> (entries: [EtcdEntry], revision: Int64) {
    var entries: [EtcdEntry] = []
    var revision: Int64?
    var from = Data(prefix.utf8)
    while true {
      let page: EtcdRangeResponse = try await call(
        "kv/range",
        EtcdRangeRequest(
          key: from, rangeEnd: Self.end(of: prefix), limit: EtcdInteger(Int64(Self.pageKeys)),
          revision: revision.map { EtcdInteger($0) }), isRepeatable: true)
      for wire in page.kvs ?? [] { entries.append(try Self.entry(wire)) }
      let at = revision ?? page.header.revision?.value ?? 0
      revision = at
      guard page.more == true, let last = page.kvs?.last else { return (entries, at) }
      from = last.key + [0]
    }
  }

  /// Carries out all of `operations` if all of `conditions` hold, else none.
  ///
  /// - Returns: the revision that the changes have; nil if a condition does not hold.
  func transaction(if conditions: [EtcdCondition], _ operations: [EtcdOperation]) async throws(EtcdError) -> Int64? {
    let response: EtcdTransactionResponse = try await call(
      "kv/txn",
      EtcdTransactionRequest(compare: conditions.map(Self.compare), success: operations.map(Self.operation)),
      isRepeatable: false)
    return response.succeeded == true ? response.header.revision?.value ?? 0 : nil
  }

  /// A new lease.
  func grantLease(seconds: Int64) async throws(EtcdError) -> Int64 {
    let response: EtcdLeaseResponse = try await call(
      "lease/grant", EtcdLeaseRequest(id: 0, ttl: EtcdInteger(seconds)), isRepeatable: true)
    guard let id = response.id?.value else { throw .unreadable("a lease without id") }
    return id
  }

  /// Gives the lease its whole time again.
  ///
  /// - Parameter patience: for all endpoints together; nil for that of every request.
  /// - Throws: `leaseGone`.
  func keepAlive(_ lease: Int64, within patience: TimeAmount? = nil) async throws(EtcdError) {
    let response: EtcdStreamed<EtcdLeaseResponse> = try await call(
      "lease/keepalive", EtcdLeaseRequest(id: EtcdInteger(lease)), isRepeatable: true, within: patience)
    if let error = response.error { throw Self.failure(error, status: 200) }
    guard let seconds = response.result?.ttl?.value, seconds > 0 else { throw .leaseGone }
  }

  /// Ends the lease: its keys go at once.
  func revoke(_ lease: Int64) async throws(EtcdError) {
    struct Nothing: Decodable {}
    let _: Nothing = try await call("lease/revoke", EtcdLeaseRequest(id: EtcdInteger(lease)), isRepeatable: true)
  }

  /// Forgets what was before `revision`.
  func compact(before revision: Int64) async throws(EtcdError) {
    struct Request: Encodable { var revision: EtcdInteger }
    struct Nothing: Decodable {}
    let _: Nothing = try await call("kv/compaction", Request(revision: EtcdInteger(revision)), isRepeatable: true)
  }

  // MARK: Watching

  /// What one line of a watch brings.
  struct WatchEvents: Sendable {
    struct Event: Sendable {
      var key: String
      /// Nil for a key that was deleted.
      var entry: EtcdEntry?
    }
    /// Of the last of `events`; all of a revision's come together.
    var revision: Int64
    var events: [Event]
  }

  /// Hands over what happens to keys that begin with `prefix` from `revision` on, in order, all changes of a revision together, until the
  /// connection ends, which is an error like any other, or the task is cancelled. It ends too when another request is not answered in time: over a
  /// connection that is silent anyway nobody sees that its other end is gone.
  ///
  /// - Throws: `compacted`: the changes since `revision` are no longer there.
  func watch(
    prefix: String, from revision: Int64, _ body: @escaping @Sendable (WatchEvents) -> Void
  ) async throws(EtcdError) {
    let troubles = state.withLock { $0.troubles }
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await self.follow(prefix: prefix, from: revision, body) }
        group.addTask {
          while self.state.withLock({ $0.troubles }) == troubles { try await Task.sleep(nanoseconds: Self.lookNanoseconds) }
          throw EtcdError.unreachable("it did not answer in time")
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    } catch let error as EtcdError {
      throw error
    } catch { throw .unreachable("\(error)") }
  }

  private func follow(
    prefix: String, from revision: Int64, _ body: (WatchEvents) -> Void
  ) async throws(EtcdError) {
    let endpoint = current
    let request = try await request(
      "watch",
      EtcdWatchRequest(
        createRequest: .init(key: Data(prefix.utf8), rangeEnd: Self.end(of: prefix), startRevision: EtcdInteger(revision))),
      at: endpoint)
    do {
      // No deadline: the answer lasts as long as the connection.
      let response = try await http.execute(request, deadline: .distantFuture)
      guard response.status == .ok else {
        let body = try await response.body.collect(upTo: Self.bodyBytesMax)
        throw Self.refusal(body, status: response.status.code)
      }
      var lines = ByteBuffer()
      for try await part in response.body {
        lines.writeImmutableBuffer(part)
        guard lines.readableBytes <= Self.bodyBytesMax else {
          throw EtcdError.unreadable("a line of \(lines.readableBytes) bytes")
        }
        while let length = lines.readableBytesView.firstIndex(of: 0x0A).map({ $0 - lines.readerIndex }) {
          let line = lines.readSlice(length: length) ?? ByteBuffer()
          lines.moveReaderIndex(forwardBy: 1)
          try take(line, body)
        }
        lines.discardReadBytes()
      }
      throw EtcdError.unreachable("the watch has ended")
    } catch let error as EtcdError {
      turn(from: endpoint)
      // It may have run out, which a watch is told in several ways.
      state.withLock { $0.token = nil }
      throw error
    } catch {
      turn(from: endpoint)
      throw .unreachable("\(error)")
    }
  }

  private func take(
    _ line: ByteBuffer, _ body: (WatchEvents) -> Void
  ) throws {
    let streamed: EtcdStreamed<EtcdWatchResponse> = try Self.decoded(line)
    if let error = streamed.error { throw Self.failure(error, status: 200) }
    guard let result = streamed.result else { return }
    if let compacted = result.compactRevision?.value, compacted > 0 { throw EtcdError.compacted }
    if result.canceled == true { throw EtcdError.unreachable(result.cancelReason ?? "the watch was cancelled") }
    let events = try (result.events ?? []).map { event in
      let entry = try Self.entry(event.kv)
      return (revision: entry.modRevision, WatchEvents.Event(key: entry.key, entry: event.type == "DELETE" ? nil : entry))
    }
    // Not the header's revision: that is etcd's at this moment, and a watch that catches up has not brought everything before it.
    guard let revision = events.map(\.revision).max() else { return }
    body(WatchEvents(revision: revision, events: events.map(\.1)))
  }

  // MARK: One call

  private func call<Request: Encodable, Response: Decodable>(
    _ path: String, _ body: Request, isRepeatable: Bool, within patience: TimeAmount? = nil
  ) async throws(EtcdError) -> Response {
    let timeout = min(patience ?? self.timeout, self.timeout)
    let deadline = NIODeadline.now() + timeout
    var failure = EtcdError.unreachable("no endpoint answered")
    var hasAuthenticated = false
    // Each endpoint once, and one more after a token has run out.
    for _ in 0...endpoints.count {
      let endpoint = current
      do throws(EtcdError) {
        return try await answer(to: try await request(path, body, at: endpoint), deadline, timeout)
      } catch .refused(let code, _) where code == 16 && credentials != nil && !hasAuthenticated {
        hasAuthenticated = true
        state.withLock { $0.token = nil }
      } catch .unreachable(let why) {
        failure = .unreachable(why)
        turn(from: endpoint)
      } catch .outcomeUnknown(let why) {
        turn(from: endpoint)
        if !isRepeatable { throw .outcomeUnknown(why) }
        failure = .unreachable(why)
      }
      if NIODeadline.now() >= deadline { break }
    }
    throw failure
  }

  private func answer<Response: Decodable>(
    to request: HTTPClientRequest, _ deadline: NIODeadline, _ timeout: TimeAmount
  ) async throws(EtcdError) -> Response {
    let status: UInt
    let body: ByteBuffer
    do {
      // One endpoint that does not answer leaves time for the next.
      let share = timeout.nanoseconds / (endpoints.count > 1 ? 2 : 1)
      let patience = min(NIODeadline.now() + .nanoseconds(share), deadline)
      let response = try await http.execute(request, deadline: patience)
      status = response.status.code
      body = try await response.body.collect(upTo: Self.bodyBytesMax)
    } catch {
      if !Task.isCancelled { state.withLock { $0.troubles += 1 } }
      if Self.neverLeft(error) { throw .unreachable("\(request.url): \(error)") }
      throw .outcomeUnknown("\(request.url): \(error)")
    }
    guard status == 200 else { throw Self.refusal(body, status: status) }
    return try Self.decoded(body)
  }

  /// The request has not been sent.
  private static func neverLeft(_ error: any Error) -> Bool {
    if error is NIOConnectionError { return true }
    if let error = error as? IOError { return error.errnoCode == ECONNREFUSED }
    guard let error = error as? HTTPClientError else { return false }
    return error == .connectTimeout || error == .getConnectionFromPoolTimeout || error == .tlsHandshakeTimeout
  }

  private var current: String { state.withLock { endpoints[$0.current] } }

  private func request(
    _ path: String, _ body: some Encodable, at endpoint: String
  ) async throws(EtcdError) -> HTTPClientRequest {
    var token = state.withLock { $0.token }
    if token == nil { token = try await authenticate(at: endpoint) }
    var request = HTTPClientRequest(url: "\(endpoint)/v3/\(path)")
    request.method = .POST
    request.headers.add(name: "content-type", value: "application/json")
    if let token { request.headers.add(name: "authorization", value: token) }
    request.body = .bytes(ByteBuffer(data: Self.encoded(body)))
    return request
  }

  private func authenticate(at endpoint: String) async throws(EtcdError) -> String? {
    guard let credentials else { return nil }
    var request = HTTPClientRequest(url: "\(endpoint)/v3/auth/authenticate")
    request.method = .POST
    let body = EtcdAuthenticateRequest(name: credentials.name, password: credentials.password)
    request.body = .bytes(ByteBuffer(data: Self.encoded(body)))
    do throws(EtcdError) {
      let response: EtcdAuthenticateResponse = try await answer(to: request, .now() + timeout, timeout)
      state.withLock { $0.token = response.token }
      return response.token
    } catch .outcomeUnknown(let why) {
      // Nothing was to be changed: another endpoint may be asked.
      throw .unreachable(why)
    }
  }

  /// The next request goes to another endpoint, unless one did so already.
  private func turn(from endpoint: String) {
    state.withLock { state in
      if endpoint == endpoints[state.current] { state.current = (state.current + 1) % endpoints.count }
    }
  }

  // MARK: Bytes

  private static func encoded(_ body: some Encodable) -> Data {
    do { return try JSONEncoder().encode(body) } catch { preconditionFailure("a request cannot be written: \(error)") }
  }

  private static func decoded<Response: Decodable>(_ body: ByteBuffer) throws(EtcdError) -> Response {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do { return try decoder.decode(Response.self, from: Data(body.readableBytesView)) } catch {
      throw .unreadable("\(error)")
    }
  }

  private static func refusal(_ body: ByteBuffer, status: UInt) -> EtcdError {
    do throws(EtcdError) {
      let error: EtcdWireError = try decoded(body)
      return failure(error, status: status)
    } catch {
      return .refused(code: Int(status), message: String(decoding: body.readableBytesView.prefix(200), as: UTF8.self))
    }
  }

  private static func failure(_ error: EtcdWireError, status: UInt) -> EtcdError {
    let message = error.message ?? error.error ?? "no reason given"
    return switch error.code ?? error.grpcCode ?? Int(status) {
    // OUT_OF_RANGE
    case 11 where message.contains("compacted"): .compacted
    // NOT_FOUND
    case 5 where message.contains("lease"): .leaseGone
    // UNAVAILABLE, DEADLINE_EXCEEDED: no leader, or it did not answer; etcd may carry it out all the same.
    case 14, 4: .outcomeUnknown(message)
    case let code: .refused(code: code, message: message)
    }
  }

  private static func entry(_ wire: EtcdWireEntry) throws(EtcdError) -> EtcdEntry {
    guard let key = String(validating: wire.key, as: UTF8.self) else { throw .unreadable("a key that is not UTF-8") }
    return EtcdEntry(key: key, value: wire.value.map(Array.init) ?? [], modRevision: wire.modRevision?.value ?? 0)
  }

  /// The first key behind all that begin with `prefix`.
  ///
  /// - Precondition: it ends with an ASCII character.
  private static func end(of prefix: String) -> Data {
    var end = Data(prefix.utf8)
    precondition(!end.isEmpty && end[end.count - 1] < 0x7F)
    end[end.count - 1] += 1
    return end
  }

  private static func compare(_ condition: EtcdCondition) -> EtcdWireCompare {
    switch condition {
    // A key that is not there has revision 0.
    case .absent(let key): EtcdWireCompare(key: Data(key.utf8), target: "MOD", modRevision: 0)
    case .unchanged(let key, let revision):
      EtcdWireCompare(key: Data(key.utf8), target: "MOD", modRevision: EtcdInteger(revision))
    }
  }

  private static func operation(_ operation: EtcdOperation) -> EtcdWireOperation {
    switch operation {
    case .put(let key, let value, let lease):
      EtcdWireOperation(requestPut: EtcdPut(key: Data(key.utf8), value: Data(value), lease: lease.map { EtcdInteger($0) }))
    case .delete(let key): EtcdWireOperation(requestDeleteRange: EtcdDeleteRange(key: Data(key.utf8)))
    case .deletePrefix(let prefix):
      EtcdWireOperation(requestDeleteRange: EtcdDeleteRange(key: Data(prefix.utf8), rangeEnd: end(of: prefix)))
    }
  }
}
