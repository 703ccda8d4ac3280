public import Cluster
public import Logging
internal import Model
public import NIOCore
internal import NIOPosix
public import Storage
internal import Synchronization

/// The Kafka door of a node: listens, serves connections, drains.
public final class KafkaBroker: Sendable {
  private let context: BrokerContext
  private let state = Mutex(Running())

  // Safe because: only touched under the mutex; the loop states inside are used on their loops.
  private struct Running: @unchecked Sendable {
    var listener: (any Channel)?
    var loops: [LoopState] = []
    var idleCheck: RepeatedTask?
  }

  var loops: [LoopState] { state.withLock { $0.loops } }

  /// Bytes of requests that have arrived, in part or whole, and are neither answered nor on disk; bounded by `queued.max.request.bytes`.
  public var queuedRequestBytes: Int { loops.reduce(0) { $0 + $1.queuedBytes.load(ordering: .relaxed) } }

  /// Open connections of clients.
  public var connectionCount: Int { context.connectionCount.load(ordering: .relaxed) }

  public init(
    configuration: BrokerConfiguration, store: LogStore, cluster: any ClusterStore, groups: GroupCoordinator,
    admin: AdminContext, logger: Logger, now: @escaping @Sendable () -> Int64
  ) {
    context = BrokerContext(
      configuration: configuration, store: store, cluster: cluster, groups: groups, admin: admin, logger: logger, now: now)
  }

  /// Accepts the connections that come to `listener`.
  ///
  /// - Parameter group: the loops that connections are spread over; the listener's.
  public func start(on group: any EventLoopGroup, listener: KafkaListener) async throws {
    let context = context
    var loops: [ObjectIdentifier: LoopState] = [:]
    var ordered: [LoopState] = []
    let count = max(1, group.makeIterator().reduce(0) { sum, _ in sum + 1 })
    for eventLoop in group.makeIterator() {
      let loop = LoopState(
        eventLoop: eventLoop, store: context.store, requestBytesMax: context.configuration.queuedRequestBytesMax / count)
      loops[ObjectIdentifier(eventLoop)] = loop
      ordered.append(loop)
    }
    let byLoop = loops
    let all = ordered
    context.store.setHighWatermarkObserver { partitions in
      for loop in all where !loop.parked.isEmpty { loop.eventLoop.execute { loop.parked.wake(partitions) } }
    }
    let idle = NIODeadline.now
    let pause = TimeAmount.milliseconds(min(max(context.configuration.connectionIdleMilliseconds / 4, 100), 30_000))
    let idleCheck = group.next().scheduleRepeatedTask(initialDelay: pause, delay: pause) { _ in
      let deadline = idle() - .milliseconds(context.configuration.connectionIdleMilliseconds)
      for loop in all {
        loop.eventLoop.execute { for connection in Array(loop.connections.values) { connection.closeIfIdle(since: deadline) } }
      }
    }
    state.withLock { $0 = Running(listener: listener.channel, loops: all, idleCheck: idleCheck) }
    try await listener.accept { channel in
      guard context.admitConnection() else {
        context.logger.warning("connection refused: max.connections are open")
        throw WireFailure(reason: "max.connections")
      }
      do {
        try channel.pipeline.syncOperations.addHandler(
          Connection(broker: context, loop: byLoop[ObjectIdentifier(channel.eventLoop)]!))
      } catch {
        context.connectionClosed()
        throw error
      }
    }
  }

  /// Stops listening, lets the requests under way finish, closes every connection.
  ///
  /// - Parameter patience: how long connections may take; those still open then are closed.
  public func stop(patience: TimeAmount) async {
    let running = state.withLock { running in
      let now = running
      running = Running()
      return now
    }
    running.idleCheck?.cancel()
    defer { context.validationThreads.shutdownGracefully { _ in } }
    try? await running.listener?.close().get()
    let deadline = NIODeadline.now() + patience
    for loop in running.loops {
      loop.eventLoop.execute { loop.drain() }
    }
    while NIODeadline.now() < deadline {
      var open = 0
      for loop in running.loops { open += (try? await loop.eventLoop.submit { loop.connections.count }.get()) ?? 0 }
      if open == 0 { return }
      try? await Task.sleep(for: .milliseconds(10))
    }
    for loop in running.loops {
      _ = try? await loop.eventLoop.submit { for connection in Array(loop.connections.values) { connection.abort() } }.get()
    }
  }
}
