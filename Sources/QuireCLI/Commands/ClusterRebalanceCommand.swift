internal import ArgumentParser
internal import KafkaClient
internal import Metadata
internal import Model

/// `quire cluster rebalance`.
struct ClusterRebalanceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rebalance", abstract: "Spread partitions evenly over the nodes.",
    discussion: """
      Says what it would do; does it with --execute. New replicas are copied and in sync before old ones go, so clients go on. Interrupted, what
      has begun goes on in the cluster, and the same command does the rest; --cancel takes back what is under way.

        quire cluster rebalance
        quire cluster rebalance --execute
        quire cluster rebalance --execute --throttle 20000000
      """)

  @Flag(help: "Move the partitions, and wait for it.")
  var execute = false

  @Flag(help: "Take back the moves that are under way.")
  var cancel = false

  @OptionGroup var moving: MovingOptions
  @OptionGroup var client: ClientOptions

  func validate() throws {
    if execute && cancel { throw ValidationError("--execute and --cancel contradict each other") }
  }

  func run() async throws {
    let moving = moving
    try await client.withClient { [execute, cancel] client in
      if cancel { return try await PartitionMoves.cancel(client) }
      try await PartitionMoves.run(client, drained: [], moving, executes: execute)
    }
  }
}

/// `quire cluster drain`.
struct ClusterDrainCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drain", abstract: "Move every partition off a node.",
    discussion: """
      Says what it would do; does it with --execute. Afterwards the node keeps nothing, and can be stopped for good. It may be gone already: what it
      had is then copied from the others that have it.

        quire cluster drain 3
        quire cluster drain 3 --execute
      """)

  @Argument(help: "Id of the node.")
  var node: Int32

  @Flag(help: "Move the partitions, and wait for it.")
  var execute = false

  @OptionGroup var moving: MovingOptions
  @OptionGroup var client: ClientOptions

  func run() async throws {
    let moving = moving
    try await client.withClient { [node, execute] client in
      try await PartitionMoves.run(client, drained: [NodeID(node)], moving, executes: execute)
      if execute { say("node \(node) keeps no partition any more: it can be stopped") }
    }
  }
}

/// How partitions are moved, and shown.
struct MovingOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Partitions that are moved at a time.", valueName: "count"))
  var concurrency = 20

  @Option(
    help: ArgumentHelp(
      "Bytes a second that each leader sends of what is copied, while this lasts (quire.peer.catchup.bytes.per.second).",
      valueName: "bytes"))
  var throttle: Int64?

  @Option(help: ArgumentHelp("Of the plan: table or json.", valueName: "format"))
  var format: ListFormat = .table

  func validate() throws {
    if concurrency < 1 { throw ValidationError("--concurrency is a number from 1") }
    if let throttle, throttle < 1 { throw ValidationError("--throttle is a number of bytes from 1") }
  }
}
