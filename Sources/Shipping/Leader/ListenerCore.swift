internal import CoreMetrics
internal import Logging
internal import Model
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// What the connections of a listener share.
final class ListenerCore: Sendable {
  private struct State {
    var identity: PeerIdentity
    var cluster: ShippedCluster?
    /// Those that have not ended: their sources may still be open.
    var conversations: [ObjectIdentifier: LeaderConversation] = [:]
    /// Those whose greeting is not over, the oldest first.
    var greeting: [LeaderConversation] = []
    var followers: [NodeID: LeaderConversation] = [:]
    var statuses: [ObjectIdentifier: FollowerStatus] = [:]
    var greetedCount = 0
    var isStopping = false
    var ended: EventLoopPromise<Void>?
  }

  let configuration: PeerListener.Configuration
  let sources: any ReplicaSources
  let pool: NIOThreadPool
  let logger: Logger
  let metrics = ShippingMetrics()
  private let catchUpLimit: Atomic<Int>
  private let state: Mutex<State>

  init(
    configuration: PeerListener.Configuration, identity: PeerIdentity, sources: any ReplicaSources, pool: NIOThreadPool,
    logger: Logger
  ) {
    self.configuration = configuration
    self.sources = sources
    self.pool = pool
    self.logger = logger
    catchUpLimit = Atomic(configuration.catchUpBytesPerSecond)
    state = Mutex(State(identity: identity))
  }

  /// 0 for all there is.
  var catchUpBytesPerSecond: Int {
    get { catchUpLimit.load(ordering: .relaxed) }
    set { catchUpLimit.store(newValue, ordering: .relaxed) }
  }

  var identity: PeerIdentity {
    get { state.withLock { $0.identity } }
    set { state.withLock { $0.identity = newValue } }
  }

  var cluster: ShippedCluster? { state.withLock { $0.cluster } }
  var statuses: [FollowerStatus] {
    state.withLock { Array($0.statuses.values) }.sorted { $0.identity.node < $1.identity.node }
  }

  func publish(_ cluster: ShippedCluster) {
    let conversations = state.withLock { state in
      state.cluster = cluster
      return Array(state.followers.values)
    }
    for conversation in conversations { conversation.loop.execute { conversation.clusterChanged() } }
  }

  // Conversations, on their event loops

  func opened(_ conversation: LeaderConversation) throws(PeerRefusal) {
    let (isRefused, oldest): (Bool, LeaderConversation?) = state.withLock { state in
      if state.isStopping { return (true, nil) }
      state.conversations[ObjectIdentifier(conversation)] = conversation
      state.greeting.append(conversation)
      return (false, state.greeting.count > Limits.peerGreetingsMax ? state.greeting.removeFirst() : nil)
    }
    if isRefused { throw PeerRefusal(.stopping, "this node is stopping") }
    // A crowd that only knocks must not keep a follower out.
    oldest?.end(PeerRefusal(.tooMuch, "too many connections"))
  }

  /// The place of a connection among those whose greeting is over.
  func takePlace() -> Int {
    state.withLock { state in
      state.greetedCount += 1
      return state.greetedCount
    }
  }

  func admitted(_ conversation: LeaderConversation, _ peer: PeerIdentity) {
    let (isRefused, former): (Bool, LeaderConversation?) = state.withLock { state in
      state.greeting.removeAll { $0 === conversation }
      let former = state.followers[peer.node]
      // It was admitted more slowly than a newer one.
      if let former, former.place > conversation.place { return (false, conversation) }
      if former == nil, state.followers.count >= Limits.peerConnectionsMax { return (true, nil) }
      state.followers[peer.node] = conversation
      return (false, former)
    }
    if isRefused { conversation.end(PeerRefusal(.tooMuch, "too many followers")) }
    former?.end(PeerRefusal(.replaced, "node \(peer.node) has connected anew"))
  }

  func report(_ conversation: LeaderConversation, _ status: FollowerStatus?) {
    state.withLock { $0.statuses[ObjectIdentifier(conversation)] = status }
  }

  func closed(_ conversation: LeaderConversation, _ reason: PeerRefusal) {
    state.withLock { state in
      state.greeting.removeAll { $0 === conversation }
      state.statuses[ObjectIdentifier(conversation)] = nil
      if let peer = conversation.peer, state.followers[peer.node] === conversation { state.followers[peer.node] = nil }
    }
    guard let peer = conversation.peer else {
      metrics.refusedConnections.increment()
      logger.debug("a connection to the peer port was refused", metadata: ["reason": "\(reason)"])
      return
    }
    guard conversation.isFollower else { return }
    metrics.disconnections.increment()
    logger.notice("a follower has gone", metadata: ["node": "\(peer.node)", "reason": "\(reason)"])
  }

  /// Its last source is closed.
  func ended(_ conversation: LeaderConversation) {
    state.withLock { state in
      state.conversations[ObjectIdentifier(conversation)] = nil
      return state.conversations.isEmpty ? state.ended : nil
    }?.succeed()
  }

  /// Ends all conversations; the promise is kept when no source is open any more.
  func stop(_ promise: EventLoopPromise<Void>) {
    let conversations = state.withLock { state in
      state.isStopping = true
      state.ended = promise
      return Array(state.conversations.values)
    }
    if conversations.isEmpty { promise.succeed() }
    for conversation in conversations { conversation.end(PeerRefusal(.stopping, "this node is stopping")) }
  }
}

extension LeaderConversation {
  /// Closes the connection, from any thread.
  func end(_ reason: PeerRefusal) {
    loop.execute { self.connection.close(reason) }
  }
}
