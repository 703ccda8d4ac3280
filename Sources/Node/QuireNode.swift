import Gateway
import Logging
import Model
import NIOCore
import NIOPosix
import ServiceLifecycle

/// A node: configuration in, a serving process out.
public enum QuireNode {
  public static let version = "0.1.0"

  /// How long a stopping node waits for requests in progress.
  static let drainTimeMax = Duration.seconds(20)

  /// Runs a node until SIGTERM or SIGINT, then drains it and closes the store.
  ///
  /// - Throws: `NodeStartError` when it cannot start; nothing is left open then.
  public static func run(_ configuration: NodeConfiguration) async throws {
    ProcessSetup.prepare(configuration)
    let logger = Logger(label: "node")
    for warning in configuration.warnings { logger.warning("\(warning)") }
    let node = try await RunningNode.start(configuration, logger: logger)
    var failure: (any Error)?
    do {
      try await node.serve()
    } catch { failure = error }
    await node.stop()
    if let failure { throw failure }
  }
}
