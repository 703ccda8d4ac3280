public import Logging
public import Metadata
public import Model
internal import NIOCore
internal import Synchronization

/// The cluster's image in etcd, which several nodes share.
///
/// Every change is one compare-and-swap transaction in etcd, so that nothing is decided twice; every node reads the image once and then follows
/// a watch. While etcd is away the image stays as it is, and changes are refused.
///
/// - Invariant: a node's and the controller's keys are under a lease that only this life of the node keeps alive.   (Cluster #6)
public final class EtcdClusterStore: ClusterStore {
  /// Where etcd is, and how patient a node is with it.
  public struct Options: Sendable {
    /// `http://HOST:PORT` or `https://…`, at least one.
    public var endpoints: [String]
    /// What the keys begin with; ends with a slash. Clusters with different prefixes share an etcd.
    public var prefix = "/quire/"
    public var credentials: (name: String, password: String)?
    /// How long the others wait for a node that says nothing before they take it for gone; nil for `broker.session.timeout.ms`.
    public var sessionSeconds: Int64?
    /// How long the others wait for a controller that says nothing. No less is to be had of etcd with its own defaults: 1.5 election timeouts.
    public var controllerSeconds: Int64 = 2
    /// The data directory of this node. A node that comes with another one than it had has lost what was in that.
    public var directory: DirectoryIdentity?
    /// Where there is no cluster under the prefix, this node founds one. Else it is refused, and nothing is written.
    public var mayFound = true
    /// This node decides for the cluster when nobody else does.
    public var mayControl = true
    /// How long one request may take.
    public var requestMilliseconds: Int64 = 5_000

    public init(endpoints: [String]) { self.endpoints = endpoints }
  }

  let client: EtcdClient
  let keys: EtcdKeys
  let nodeID: NodeID
  let plans: ClusterPlans
  let now: @Sendable () -> Int64
  let options: Options
  let sessionSeconds: Int64
  /// Tells this life of the node from others that use its id.
  let incarnation: String
  let logger: Logger
  let state: Mutex<State>
  private let observers = ImageObservers()
  private let tasks = Mutex<[Task<Void, Never>]>([])

  /// That the image has changed, for the one task that keeps the session.
  let sessionWakes: AsyncStream<Void>
  let sessionWaker: AsyncStream<Void>.Continuation

  struct State {
    var keys: EtcdImage
    /// Everything up to here is in `keys`.
    var revision: Int64
    var isClosed = false
    /// The lease of this node's keys.
    var lease: Int64?
    /// The lease of the controller's key, while this node has that.
    var controllerLease: Int64?
    /// What this node tells the others of itself.
    var registration: NodeRecord?
    var isInSession = false
    var watched: [NodeID: (incarnation: String, task: Task<Void, Never>)] = [:]
    /// Nodes that this one heard before, and does not now.
    var unheard: Set<NodeID> = []
    /// Nodes, by incarnation, that have denied to be gone.
    var denials: [String: ContinuousClock.Instant] = [:]
    var nextWaiter: UInt64 = 0
    var waiters: [UInt64: (revision: Int64, continuation: CheckedContinuation<Bool, Never>)] = [:]
  }

  public var image: ClusterImage { state.withLock { $0.keys.image } }
  /// Grows with every change of what is in etcd: two images of different lives of a node are told apart by it.
  public var revision: Int64 { state.withLock { $0.revision } }
  public var controller: NodeID? { state.withLock { $0.keys.controller } }

  private init(
    _ options: Options, client: EtcdClient, nodeID: NodeID, plans: ClusterPlans, keys: EtcdImage, revision: Int64,
    now: @escaping @Sendable () -> Int64, logger: Logger
  ) {
    self.options = options
    self.client = client
    self.keys = keys.keys
    self.nodeID = nodeID
    self.plans = plans
    self.now = now
    self.logger = logger
    sessionSeconds =
      options.sessionSeconds ?? (keys.image.nodeSettings.number("broker.session.timeout.ms") + 999) / 1000
    (sessionWakes, sessionWaker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    incarnation = "\(plans.entropy())-\(now())"
    state = Mutex(State(keys: keys, revision: revision))
  }

  /// Reads the image, or begins one, and follows it from then on.
  ///
  /// - Parameters:
  ///   - clusterID: the id that the cluster gets if this is its first node.
  ///   - settings: the node's fixed settings; those made at run time are added from etcd.
  ///   - entropy: 64 random bits a call.
  ///   - now: milliseconds since 1970.
  ///   - columnsComplaint: what is wrong with the expressions of declared columns, in a sentence; nil if nothing is.
  /// - Throws: `brokerNotAvailable` when etcd cannot be reached; when it refuses, or there is no cluster and none may be founded, another code.
  public static func open(
    _ options: Options, clusterID: String, nodeID: NodeID, settings: NodeSettings,
    entropy: @escaping @Sendable () -> UInt64, now: @escaping @Sendable () -> Int64,
    columnsComplaint: @escaping @Sendable ([DeclaredColumn]) -> String? = { _ in nil }, logger: Logger
  ) async throws(ClusterError) -> EtcdClusterStore {
    let client = EtcdClient(
      endpoints: options.endpoints, credentials: options.credentials, timeout: .milliseconds(options.requestMilliseconds))
    let keys = EtcdKeys(prefix: options.prefix)
    do throws(EtcdError) {
      // Whoever is first gives the cluster its id.
      if options.mayFound {
        _ = try await client.transaction(
          if: [.absent(keys.cluster)], [.put(keys.cluster, recordBytes(ClusterRecord(id: clusterID)))])
      }
      let (entries, revision) = try await client.entries(withPrefix: keys.prefix)
      guard options.mayFound || entries.contains(where: { $0.key == keys.cluster }) else {
        throw EtcdError.noCluster(keys.prefix)
      }
      let cluster = EtcdClusterStore(
        options, client: client, nodeID: nodeID, plans: ClusterPlans(entropy: entropy, columnsComplaint: columnsComplaint),
        keys: EtcdImage(keys: keys, nodeID: nodeID, settings: settings, entries: entries), revision: revision, now: now,
        logger: logger)
      cluster.follow()
      return cluster
    } catch {
      await client.close()
      // What time does not mend is not waited for.
      throw ClusterError(error.isLasting ? .invalidConfig : .brokerNotAvailable, error.description)
    }
  }

  func start(_ work: @escaping @Sendable () async -> Void) {
    tasks.withLock { $0.append(Task { await work() }) }
  }

  /// What a node that is killed leaves behind: keys that only the end of their leases removes.
  func abandon() {
    let watches = state.withLock { state in
      (state.isClosed, state.lease, state.controllerLease) = (true, nil, nil)
      return state.watched.values.map(\.task)
    }
    for watch in watches { watch.cancel() }
    stopFollowing()
    sessionWaker.finish()
    let client = client
    Task { await client.close() }
  }

  func follow() { start { [weak self] in await self?.followImage() } }

  func stopFollowing() {
    let running = tasks.withLock { tasks in
      defer { tasks = [] }
      return tasks
    }
    for task in running { task.cancel() }
  }

  /// Says good-bye: the others see at once that this node is gone. What is under way is still made.
  public func close() {
    let (leases, watches) = state.withLock { state in
      state.isClosed = true
      let waiters = state.waiters.values
      state.waiters = [:]
      for waiter in waiters { waiter.continuation.resume(returning: false) }
      defer { (state.lease, state.controllerLease, state.watched) = (nil, nil, [:]) }
      return ([state.lease, state.controllerLease].compactMap(\.self), state.watched.values.map(\.task))
    }
    for watch in watches { watch.cancel() }
    stopFollowing()
    sessionWaker.finish()
    let client = client
    Task {
      for lease in leases { try? await client.revoke(lease) }
      await client.close()
    }
  }

  var isClosed: Bool { state.withLock { $0.isClosed } }

  // MARK: Following the image

  private static let pauseMax = TimeAmount.seconds(2)

  /// Until the store is closed: watches, and when the watch ends, goes on from where it was, or reads everything anew.
  private func followImage() async {
    var pause = TimeAmount.milliseconds(50)
    while !isClosed, !Task.isCancelled {
      let from = state.withLock { $0.revision } + 1
      do throws(EtcdError) {
        try await client.watch(prefix: keys.prefix, from: from) { [weak self] in self?.take($0) }
      } catch .compacted {
        await readAnew()
      } catch {
        if isClosed { return }
        if state.withLock({ $0.revision }) + 1 != from { pause = .milliseconds(50) }
        logger.warning("the cluster's image is not followed", metadata: ["error": "\(error)"])
      }
      try? await Task.sleep(nanoseconds: UInt64(pause.nanoseconds))
      pause = min(pause * 2, Self.pauseMax)
    }
  }

  private func take(_ events: EtcdClient.WatchEvents) {
    state.withLock { state in
      for event in events.events { state.keys.apply(key: event.key, event.entry) }
      advance(&state, to: events.revision)
    }
    observers.callAll()
  }

  public func observe(_ observer: @escaping @Sendable () -> Void) { observers.add(observer) }

  /// Changes were missed: what is there now replaces what was known.
  private func readAnew() async {
    do throws(EtcdError) {
      let (entries, revision) = try await client.entries(withPrefix: keys.prefix)
      state.withLock { state in
        guard revision > state.revision else { return }
        let gone = Set(state.keys.modRevisions.keys).subtracting(entries.map(\.key))
        for key in gone.sorted() { state.keys.apply(key: key, nil) }
        for entry in entries where entry.modRevision != state.keys.modRevision(of: entry.key) {
          state.keys.apply(key: entry.key, entry)
        }
        advance(&state, to: revision)
      }
      observers.callAll()
    } catch { logger.warning("the cluster's image cannot be read", metadata: ["error": "\(error)"]) }
  }

  private func advance(_ state: inout State, to revision: Int64) {
    state.revision = max(state.revision, revision)
    for (id, waiter) in state.waiters where waiter.revision <= state.revision {
      state.waiters[id] = nil
      waiter.continuation.resume(returning: true)
    }
  }

  /// Waits until the image has everything up to a revision.
  ///
  /// - Returns: false if that takes longer than a request may, or the store is closed.
  @discardableResult
  func hasSeen(_ revision: Int64) async -> Bool {
    let timer = Mutex<Task<Void, Never>?>(nil)
    let isSeen = await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
      let id: UInt64? = state.withLock { state in
        if state.revision >= revision || state.isClosed { return nil }
        state.nextWaiter += 1
        state.waiters[state.nextWaiter] = (revision, continuation)
        return state.nextWaiter
      }
      guard let id else { return continuation.resume(returning: state.withLock { $0.revision >= revision }) }
      let patience = UInt64(options.requestMilliseconds) * 1_000_000
      timer.withLock {
        $0 = Task { [weak self] in
          try? await Task.sleep(nanoseconds: patience)
          self?.giveUp(id)
        }
      }
    }
    timer.withLock { $0 }?.cancel()
    return isSeen
  }

  private func giveUp(_ waiter: UInt64) {
    state.withLock { $0.waiters.removeValue(forKey: waiter) }?.continuation.resume(returning: false)
  }

  /// The image, and what changes of its keys compare with.
  func seen() -> EtcdImage { state.withLock { $0.keys } }
}
