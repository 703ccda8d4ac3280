internal import Bytes
internal import Glibc
internal import KafkaProtocol
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// One TCP connection to one broker, with the versions that both sides speak.
final class BrokerConnection: Sendable {
  let address: BrokerAddress
  private let channel: any Channel
  private let clientID: String
  private let timeouts: KafkaClient.Timeouts
  private let versions: [APIKey: Int16]
  private let lastCorrelationID: Atomic<Int32>

  private init(
    address: BrokerAddress, channel: any Channel, clientID: String, timeouts: KafkaClient.Timeouts, versions: [APIKey: Int16],
    lastCorrelationID: Int32
  ) {
    self.address = address
    self.channel = channel
    self.clientID = clientID
    self.timeouts = timeouts
    self.versions = versions
    self.lastCorrelationID = Atomic(lastCorrelationID)
  }

  var isOpen: Bool { channel.isActive }

  func close() async { try? await channel.close() }

  /// Connects and asks for the broker's versions.
  ///
  /// - Throws: `.unreachable`, or what `send` throws.
  static func connect(
    to address: BrokerAddress, clientID: String, timeouts: KafkaClient.Timeouts
  ) async throws -> BrokerConnection {
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(timeouts.connect)
      .channelOption(.socketOption(.tcp_nodelay), value: 1)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Larger than any fetch that is asked for (`fetchBytesMax`) with the one batch that may exceed it.
          try channel.pipeline.syncOperations.addHandler(RequestHandler(address: address, frameBytesMax: 256 << 20))
        }
      }
    let channel: any Channel
    do {
      channel = try await bootstrap.connect(host: address.host, port: address.port).get()
    } catch {
      throw KafkaClientError(.unreachable, "cannot reach \(address): \(ConnectFailure.reason(error))")
    }
    do {
      let probe = BrokerConnection(
        address: address, channel: channel, clientID: clientID, timeouts: timeouts, versions: [:], lastCorrelationID: 0)
      let versions = try await probe.negotiate()
      return BrokerConnection(
        address: address, channel: channel, clientID: clientID, timeouts: timeouts, versions: versions,
        lastCorrelationID: probe.lastCorrelationID.load(ordering: .relaxed))
    } catch {
      try? await channel.close()
      throw error
    }
  }

  private func negotiate() async throws -> [APIKey: Int16] {
    var request = ApiVersionsRequest()
    request.clientSoftwareName = "quire"
    request.clientSoftwareVersion = programVersion
    // A broker that does not know version 3 says so in a form that not all agree on; all know version 0.
    var version: Int16 = 3
    while true {
      var frame = try await exchange(request, version: version, timeout: timeouts.request)
      let code: Int16? = frame.getInteger(at: frame.readerIndex + 4)
      if version > 0, code == ErrorCode.unsupportedVersion.rawValue {
        version = 0
        continue
      }
      let response: ApiVersionsResponse = try read(&frame, version: version)
      guard response.errorCode == .none else { throw KafkaClientError.refused("\(address)", response.errorCode) }
      var versions: [APIKey: Int16] = [:]
      for offer in response.apiKeys {
        guard let key = APIKey(rawValue: offer.apiKey) else { continue }
        let own = ClientVersions.range(key)
        let common = min(own.upperBound, offer.maxVersion)
        if common >= own.lowerBound, common >= offer.minVersion { versions[key] = common }
      }
      return versions
    }
  }

  func version(of key: APIKey) -> Int16? { versions[key] }

  /// Sends a request in the newest version that both sides speak.
  ///
  /// - Parameter timeout: how long to wait for the answer; nil for the client's own limit.
  /// - Throws: `KafkaClientError`; after `.disconnected` and `.timedOut` it is not known whether the broker acted on it.
  ///   `CancellationError` if the task was cancelled, with the same uncertainty.
  func send<Request: KafkaRequest>(_ request: Request, timeout: TimeAmount? = nil) async throws -> Request.Response {
    guard let version = versions[Request.apiKey] else {
      throw KafkaClientError(.unsupportedVersion, "\(address) does not offer \(Request.apiKey) in a version known here")
    }
    var frame = try await exchange(request, version: version, timeout: timeout ?? timeouts.request)
    return try read(&frame, version: version)
  }

  private func read<Response: KafkaResponse>(_ frame: inout ByteBuffer, version: Int16) throws -> Response {
    do {
      return try KafkaMessageCodec.decodeResponse(from: &frame, version: version, ignoringRest: true).response
    } catch {
      throw KafkaClientError(
        .malformedResponse, "\(address) answered \(Response.apiKey) with bytes that make no sense: \(error)")
    }
  }

  private func exchange<Request: KafkaRequest>(
    _ request: Request, version: Int16, timeout: TimeAmount
  ) async throws -> ByteBuffer {
    try Task.checkCancellation()
    let correlationID = lastCorrelationID.wrappingAdd(1, ordering: .relaxed).newValue
    let frame = KafkaMessageCodec.encodeRequest(request, version: version, correlationID: correlationID, clientID: clientID)
    let promise = channel.eventLoop.makePromise(of: ByteBuffer.self)
    let outgoing = OutgoingRequest(frame: frame, correlationID: correlationID, timeout: timeout, promise: promise)
    return try await withTaskCancellationHandler {
      channel.writeAndFlush(outgoing).whenFailure { error in
        promise.fail(error is KafkaClientError ? error : KafkaClientError(.disconnected, "the connection was closed"))
      }
      return try await promise.futureResult.get()
    } onCancel: {
      promise.fail(CancellationError())
    }
  }
}

/// A connection attempt's failure in a person's words.
public enum ConnectFailure {
  public static func reason(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      if let first = error.connectionErrors.first { return reason(first.error) }
      return "there is no host '\(error.host)'"
    case let error as IOError:
      if error.errnoCode == ECONNREFUSED { return "connection refused (is `quire serve` running?)" }
      return String(cString: strerror(error.errnoCode))
    case ChannelError.connectTimeout(let limit): return "no answer within \(limit.nanoseconds / 1_000_000_000) s"
    default: return "\(error)"
    }
  }
}
