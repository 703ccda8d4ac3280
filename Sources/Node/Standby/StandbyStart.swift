import Cluster
import Logging
import Model
import NIOCore
import NIOPosix
import Shipping
import Storage

/// What a node is when it starts: a leader, or a standby, and of whom. It may have been promoted, or deposed, since it was told.
struct StandbyStart {
  /// How long a new standby waits for its leader, which may start at the same moment.
  private static let patience = Duration.seconds(60)

  let configuration: NodeConfiguration
  let store: LogStore
  let secret: PeerSecret?
  let logger: Logger

  /// Makes durable what the node is from now on.
  ///
  /// - Throws: `NodeStartError` where it cannot be what it was told to be.
  func decide() async throws {
    let state = try PairStart.state(in: store)
    guard let leader = configuration.standbyOf else { return try checkUntold(state) }
    switch state.role {
    case .standby:
      guard state.peerAddress != leader else { return }
      var moved = state
      moved.peerAddress = leader
      try PairStart.note(moved, in: store)
    case .leader where state.promotedOver == leader: try await checkPromoted(state, over: leader)
    case .leader, .fenced: try await becomeStandby(of: leader, state)
    }
  }

  /// Nobody said what the node is: it is what it was.
  private func checkUntold(_ state: PairState) throws(NodeStartError) {
    switch state.role {
    case .leader:
      guard let standby = state.peer, configuration.peer == nil else { return }
      throw NodeStartError(
        .configuration,
        "this node has a standby, node \(standby), which fetches from it: start it with --peer HOST:PORT, and take the standby out with `quire cluster forget-standby` if there is none any more"
      )
    case .standby:
      logger.notice(
        "this node is a standby, and goes on as one; `quire cluster promote` makes it the leader",
        metadata: ["leader": "\(state.peerAddress.map { "\($0)" } ?? "")"])
    case .fenced:
      let leader = state.peer.map { "node \($0)" } ?? "another node"
      let address = state.peerAddress.map { "\($0)" } ?? "HOST:PORT of its peer listener"
      throw NodeStartError(
        .environment,
        "\(leader) was promoted over this node and leads now; what this node has may lack records, or have others: start it with --standby-of \(address) to make it the standby"
      )
    }
  }

  /// The node is started as it was before it was promoted: it leads, unless its former leader was promoted in turn.
  private func checkPromoted(_ state: PairState, over leader: HostPort) async throws {
    if let other = try? await ask(leader, clusterID: store.node.clusterID, epoch: state.epoch),
      other.leaderEpoch > state.epoch
    {
      return try await becomeStandby(of: leader, state)
    }
    logger.warning(
      "this node was promoted and leads: --standby-of has no effect any more", metadata: ["standby of": "\(leader)"])
  }

  private func becomeStandby(of leader: HostPort, _ state: PairState) async throws {
    let isFresh = try PairStart.isFresh(store)
    let other = try await find(leader, clusterID: isFresh ? "" : store.node.clusterID, epoch: isFresh ? .zero : state.epoch)
    if !isFresh {
      let isBehind = state.role == .fenced ? other.leaderEpoch >= state.epoch : other.leaderEpoch > state.epoch
      guard isBehind else {
        throw NodeStartError(
          .environment,
          "the data directory \(configuration.dataDirectory) has the records of a node that led, and node \(other.node) at \(leader) was not promoted over it: a new standby needs a data directory of its own"
        )
      }
    }
    var standby = PairState.alone
    standby.role = .standby
    (standby.peer, standby.peerAddress, standby.epoch) = (other.node, leader, other.leaderEpoch)
    standby.sinceMilliseconds = wallClockMilliseconds()
    try PairStart.becomeStandby(standby, clusterID: isFresh ? other.clusterID : nil, in: store)
    logger.notice("this node is a standby from now on", metadata: ["leader": "node \(other.node) at \(leader)"])
  }

  /// Asks until the leader answers.
  private func find(_ leader: HostPort, clusterID: String, epoch: LeaderEpoch) async throws -> PeerIdentity {
    let deadline = ContinuousClock.now + Self.patience
    var isAnnounced = false
    while true {
      do throws(PeerRefusal) {
        return try await ask(leader, clusterID: clusterID, epoch: epoch)
      } catch {
        guard error.code == .disconnected || error.code == .stopping || error.code == .silent, ContinuousClock.now < deadline
        else { throw NodeStartError(.environment, "the leader at \(leader) cannot be followed: \(error)") }
        if !isAnnounced {
          logger.warning("waiting for the leader", metadata: ["leader": "\(leader)", "reason": "\(error)"])
        }
        isAnnounced = true
      }
      try await Task.sleep(for: .milliseconds(500))
    }
  }

  private func ask(_ leader: HostPort, clusterID: String, epoch: LeaderEpoch) async throws(PeerRefusal) -> PeerIdentity {
    try await PeerClient.ask(
      PeerClient.Configuration(leader: leader, secret: secret),
      as: PeerIdentity(node: store.node.nodeID, clusterID: clusterID, leaderEpoch: epoch),
      on: MultiThreadedEventLoopGroup.singleton)
  }
}
