import Broker
import Logging
import NIOCore
import ServiceLifecycle
import Storage

/// Closes the Kafka door when the node is told to stop; it was opened at the node's start.
struct KafkaDoor: Service {
  /// How long connections may take to finish their requests.
  private static let patience = TimeAmount.seconds(10)

  let broker: KafkaBroker
  let groups: GroupCoordinator
  /// Told before anything is refused.
  let state: @Sendable () -> Void

  func run() async throws {
    try? await gracefulShutdown()
    state()
    // Members that wait for a rebalance are answered, or their connections would wait out the patience.
    groups.close()
    await broker.stop(patience: Self.patience)
  }
}

/// Looks for segments to roll and to delete, now and then.
struct RetentionTimer: Service {
  let store: LogStore
  let interval: Duration
  let now: @Sendable () -> Int64

  func run() async throws {
    try? await cancelWhenGracefulShutdown {
      while !Task.isCancelled {
        try await Task.sleep(for: interval)
        await withCheckedContinuation { continuation in
          store.runOnReadThread {
            store.enforceRetention(now: now())
            continuation.resume()
          }
        }
      }
    }
  }
}
