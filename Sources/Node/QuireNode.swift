import Gateway
import Logging
import Model
import NIOCore
import NIOPosix
import ServiceLifecycle
package import Storage

/// A node: configuration in, a serving process out.
public enum QuireNode {
  public static let version = programVersion

  /// How long a stopping node waits for requests in progress.
  static let drainTimeMax = Duration.seconds(20)
  /// How long a stopping node waits until others lead what it led.
  static let handOverTimeMax = Duration.seconds(6)

  /// Runs a node until SIGTERM or SIGINT, then drains it and closes the store.
  ///
  /// - Throws: `NodeStartError` when it cannot start; nothing is left open then.
  public static func run(_ configuration: NodeConfiguration) async throws { try await run(configuration) { _ in } }

  /// As above.
  ///
  /// - Parameter adjust: changes what no configuration says of the store (for benchmarks).
  package static func run(_ configuration: NodeConfiguration, adjust: (inout StoreOptions) -> Void) async throws {
    ProcessSetup.prepare(configuration)
    let logger = Logger(label: "node")
    for warning in configuration.warnings { logger.warning("\(warning)") }
    let node = try await RunningNode.start(configuration, adjust: adjust, logger: logger)
    var failure: (any Error)?
    do {
      try await node.serve()
    } catch { failure = error }
    await node.stop()
    if let failure { throw failure }
  }
}
