import Broker
import Logging
import Model
import NIOCore
import ServiceLifecycle
import Storage
import Synchronization

/// Closes the Kafka door when the node is told to stop; it was opened at the node's start.
struct KafkaDoor: Service {
  /// How long connections may take to finish their requests.
  private static let patience = TimeAmount.seconds(10)

  let broker: KafkaBroker
  let groups: GroupCoordinator
  /// Called before anything is refused.
  let prepare: @Sendable () async -> Void

  func run() async throws {
    try? await gracefulShutdown()
    await prepare()
    // Members that wait for a rebalance are answered, or their connections would wait out the patience.
    groups.close()
    await broker.stop(patience: Self.patience)
  }
}

/// Waits until all doors are open that there are to be.
final class OpenDoors: Sendable {
  enum Door { case http, postgres }

  private let expected: Int
  private let opened = Mutex<[Door: HostPort]>([:])
  private let all: @Sendable ([Door: HostPort]) -> Void

  /// - Parameter all: called once, with where each door is.
  init(expected: Int, all: @escaping @Sendable ([Door: HostPort]) -> Void) {
    self.expected = expected
    self.all = all
  }

  func opened(_ door: Door, at address: HostPort) {
    let opened = opened.withLock { opened in
      opened[door] = address
      return opened
    }
    if opened.count == expected { all(opened) }
  }
}

/// A door whose address may be taken; the error then says which.
struct Opening<Door: Service>: Service {
  let door: String
  let address: HostPort
  let service: Door

  func run() async throws {
    do { try await service.run() } catch { throw StartFailure.explained(error, door: door, address: address) }
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
