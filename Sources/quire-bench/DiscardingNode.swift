import Node
import Storage

/// A whole node but for its storage lanes: what they would write is acknowledged at once and forgotten.
///
/// The Kafka door, validation and replies are those of `quire serve`, so that the difference between the two is what durability costs.
enum DiscardingNode {
  static func run(_ arguments: [String]) async throws {
    var flags: [(key: String, value: String)] = []
    let names = ["--data-dir": "log.dirs", "--listen": "listeners", "--http": "quire.http"]
    for (name, value) in zip(arguments, arguments.dropFirst()) {
      if let key = names[name] { flags.append((key, value)) }
    }
    let configuration = try NodeConfiguration.resolve(flags: flags, configurationFile: nil, environment: [:])
    try await QuireNode.run(configuration) { $0.discardsAppends = true }
  }
}
