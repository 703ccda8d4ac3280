import Bytes
import KafkaProtocol
import Model
import NIOCore
import NIOPosix
import Synchronization

@testable import KafkaClient

/// A broker that answers as a test tells it, on a port of its own.
final class FakeBroker: Sendable {
  enum Answer {
    case message(EncodedMessage)
    case bytes(ByteBuffer)
    case silence
    case hangUp
  }
  typealias Script = @Sendable (RequestHeader, ByteBuffer) throws -> Answer

  let address: BrokerAddress
  private let channel: any Channel

  /// ApiVersions and Metadata (one node, which leads partition 0 and 1 of every topic) are answered without the script.
  static func start(onPort fixed: Int = 0, _ script: @escaping Script) async throws -> FakeBroker {
    let port = Mutex(0)
    let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Conversation(script: script) { port.withLock { $0 } })
        }
      }
      .bind(host: "127.0.0.1", port: fixed).get()
    port.withLock { $0 = channel.localAddress!.port! }
    return FakeBroker(channel: channel)
  }

  private init(channel: any Channel) {
    self.channel = channel
    address = BrokerAddress(host: "127.0.0.1", port: channel.localAddress!.port!)
  }

  func stop() async { try? await channel.close() }

  static func reply<R: KafkaResponse>(_ response: R, to header: RequestHeader) -> Answer {
    .message(KafkaMessageCodec.encodeResponse(response, correlationID: header.correlationID, version: header.apiVersion))
  }

  private final class Conversation: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private var frames = FrameDecoder()
    private let script: Script
    private let port: () -> Int

    init(script: @escaping Script, port: @escaping () -> Int) {
      self.script = script
      self.port = port
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      frames.append(unwrapInboundIn(data))
      do {
        while var frame = try frames.next() {
          let header = try RequestHeader.decode(from: &frame)
          switch try builtIn(header, frame) ?? script(header, frame) {
          case .message(let message): context.writeAndFlush(wrapOutboundOut(message.joined), promise: nil)
          case .bytes(let bytes): context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
          case .silence: break
          case .hangUp: return context.close(promise: nil)
          }
        }
      } catch {
        context.close(promise: nil)
      }
    }

    private func builtIn(_ header: RequestHeader, _ frame: ByteBuffer) throws -> Answer? {
      switch APIKey(rawValue: header.apiKey) {
      case .apiVersions:
        var response = ApiVersionsResponse()
        response.apiKeys = ServedVersions.advertised.map { key, range in
          var version = ApiVersionsResponse.ApiVersion()
          version.apiKey = key.rawValue
          version.minVersion = range.lowerBound
          version.maxVersion = range.upperBound
          return version
        }
        return FakeBroker.reply(response, to: header)
      case .metadata:
        var body = frame
        let request = try KafkaMessageCodec.decode(MetadataRequest.self, from: &body, version: header.apiVersion)
        var broker = MetadataResponse.Broker()
        broker.nodeID = 1
        broker.host = "127.0.0.1"
        broker.port = Int32(port())
        var response = MetadataResponse()
        response.brokers = [broker]
        response.controllerID = 1
        response.topics = (request.topics ?? []).map { asked in
          var topic = MetadataResponse.Topic()
          topic.name = asked.name
          topic.partitions = (0..<2 as Range<Int32>).map { index in
            var partition = MetadataResponse.Partition()
            partition.partitionIndex = index
            partition.leaderID = 1
            return partition
          }
          return topic
        }
        return FakeBroker.reply(response, to: header)
      default: return nil
      }
    }
  }
}
