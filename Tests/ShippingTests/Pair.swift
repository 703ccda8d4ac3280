import Glibc
import Logging
import Model
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Shipping

func pause() { usleep(5000) }

/// Waits for what will be so before long, on however slow a machine.
func eventually(
  _ what: Comment, within limit: Duration = .seconds(60), at location: SourceLocation = #_sourceLocation,
  _ condition: () throws -> Bool
) async throws {
  let end = ContinuousClock.now + limit
  while try !condition() {
    if ContinuousClock.now > end {
      Issue.record(what, sourceLocation: location)
      throw Late()
    }
    try await Task.sleep(for: .milliseconds(5))
  }
}

struct Late: Error {}

let secret = PeerSecret(Array("sixteen bytes or more".utf8))!
let cluster = "a-cluster"

func identity(_ node: Int32, epoch: Int32 = 1, cluster: String = cluster) -> PeerIdentity {
  PeerIdentity(node: NodeID(node), clusterID: cluster, leaderEpoch: LeaderEpoch(epoch))
}

func partition(_ number: Int32, _ topic: String = "t") -> TopicPartition { TopicPartition(topic: topic, partition: number) }
let topicID = TopicID(high: 1, low: 2)

/// Nobody is taken for dead because the machine is busy.
var patient: PeerTiming {
  var timing = PeerTiming()
  timing.deadAfter = .seconds(40)
  timing.greetingWithin = .seconds(40)
  timing.stalledAfter = .seconds(80)
  timing.retryAfter = .milliseconds(10) ... .milliseconds(50)
  timing.lagInterval = .milliseconds(20)
  return timing
}

/// Events of a client.
final class Events: Sendable {
  private let list = Mutex<[PeerEvent]>([])
  func append(_ event: PeerEvent) { list.withLock { $0.append(event) } }
  var all: [PeerEvent] { list.withLock { $0 } }
  var clusters: [ShippedCluster] {
    all.compactMap { if case .cluster(let cluster) = $0 { cluster } else { nil } }
  }
  var refusals: [PeerRefusal.Code] {
    all.compactMap { if case .refused(let refusal) = $0 { refusal.code } else { nil } }
  }
  var disconnections: [PeerRefusal.Code] {
    all.compactMap { if case .disconnected(let refusal) = $0 { refusal.code } else { nil } }
  }
  var connectionCount: Int { all.count { if case .connected = $0 { true } else { false } } }
}

let group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func startListener(
  _ leader: FakeLeader, port: Int = 0, secret: PeerSecret? = secret, timing: PeerTiming = patient, catchUp: Int = 0,
  identity leaderIdentity: PeerIdentity = identity(1)
) async throws -> PeerListener {
  var configuration = PeerListener.Configuration(host: "127.0.0.1", port: port, secret: secret)
  configuration.timing = timing
  configuration.catchUpBytesPerSecond = catchUp
  let end = ContinuousClock.now + .seconds(60)
  while true {
    do {
      return try await PeerListener.start(configuration, identity: leaderIdentity, sources: leader, on: group, logger: quiet)
    } catch {
      // A port that was given back may be anybody's for a moment.
      guard port != 0, ContinuousClock.now < end else { throw error }
      try await Task.sleep(for: .milliseconds(50))
    }
  }
}

func configuration(_ port: Int, secret: PeerSecret? = secret, timing: PeerTiming = patient) -> PeerClient.Configuration {
  var configuration = PeerClient.Configuration(leader: HostPort(host: "127.0.0.1", port: port), secret: secret)
  configuration.timing = timing
  return configuration
}

func startClient(
  _ port: Int, secret: PeerSecret? = secret, timing: PeerTiming = patient, identity clientIdentity: PeerIdentity = identity(2),
  events: Events = Events()
) -> PeerClient {
  PeerClient.start(
    configuration(port, secret: secret, timing: timing), identity: clientIdentity, on: group, logger: quiet,
    listener: { events.append($0) })
}

/// A leader and one follower, connected.
struct Pair {
  let leader: FakeLeader
  let listener: PeerListener
  let client: PeerClient
  let events: Events

  static func run(
    timing: PeerTiming = patient, catchUp: Int = 0, _ body: (Pair) async throws -> Void
  ) async throws {
    let leader = FakeLeader()
    let events = Events()
    let listener = try await startListener(leader, timing: timing, catchUp: catchUp)
    let client = startClient(listener.address.port!, timing: timing, events: events)
    let pair = Pair(leader: leader, listener: listener, client: client, events: events)
    let outcome: Result<Void, any Error>
    do { outcome = .success(try await body(pair)) } catch { outcome = .failure(error) }
    await client.stop()
    await listener.stop()
    try outcome.get()
  }

  /// Follows a partition that the leader has.
  func follow(_ partition: TopicPartition, _ sink: FakeSink = FakeSink()) -> (FakeLog, FakeSink) {
    let log = leader.log(partition)
    client.follow(partition, topicID: topicID, into: sink)
    return (log, sink)
  }
}
