internal import ArgumentParser
internal import Export
internal import NIOCore

struct ClusterCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cluster", abstract: "Show the cluster, move its partitions; make a standby the leader.",
    subcommands: [
      Status.self, ClusterRebalanceCommand.self, ClusterDrainCommand.self, Promote.self, ForgetStandby.self,
    ])

  struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show nodes, partitions, and how far replicas are behind.",
      discussion: """
        As the asked node sees it: how far a replica is behind is known to its leader, and to itself.

          quire cluster status
          quire cluster status --replicas
        """)

    @Flag(help: "Every replica of every partition, not only those that are not in sync.")
    var replicas = false

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    @OptionGroup var node: NodeOptions

    func run() async throws {
      let answer = try await node.ask("/v1/cluster")
      let output = OutputStream.standardOutput()
      switch format {
      case .json: try output.line(answer.text)
      case .table: try output.write(ClusterStatusText(answer).text(allReplicas: replicas))
      }
      try output.flush()
    }
  }

  struct Promote: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Make a standby the leader.",
      discussion: """
        To be asked of the standby. Its leader is told first that it leads no longer; one that cannot be reached is told when it comes back, \
        and takes no records until then. Everything that was acknowledged with acks=all is there.

          quire cluster promote --server http://standby.example.org:8080
        """)

    @Flag(help: "Also where records may be lost, or a leader that is alive cannot be told.")
    var force = false

    @OptionGroup var node: NodeOptions

    func run() async throws {
      try await node.tell("/v1/cluster/promote", .object(force ? [("force", .bool(true))] : []))
    }
  }

  struct ForgetStandby: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "forget-standby", abstract: "Take a leader's standby out, on purpose.",
      discussion: """
        To be asked of the leader, whose appends wait for nobody from then on. Never of a leader whose standby was promoted: there would be two.

          quire cluster forget-standby
        """)

    @OptionGroup var node: NodeOptions

    func run() async throws { try await node.tell("/v1/cluster/forget-standby", .object([])) }
  }
}

/// The HTTP door of the node that is asked.
struct NodeOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The node's HTTP address (or QUIRE_SERVER; default http://127.0.0.1:8080).", valueName: "url"))
  var server: String?

  func validate() throws { _ = try address() }

  private func address() throws -> ServerAddress {
    do throws(ServerAddress.Failure) {
      return try ServerAddress(parsing: server ?? environment("QUIRE_SERVER") ?? "http://127.0.0.1:8080")
    } catch { throw ValidationError(error.reason) }
  }

  /// - Parameter body: nil to get, else to post.
  func ask(_ path: String, _ body: JSON? = nil) async throws -> JSON {
    let door = HTTPDoor(server: try address())
    var answer = ByteBuffer()
    if let body {
      try await door.post(path, body) { answer.writeImmutableBuffer($0) }
    } else {
      try await door.get(path) { answer.writeImmutableBuffer($0) }
    }
    guard let json = answer.withUnsafeReadableBytes({ try? JSONReader.read($0) }) else {
      throw CommandFailure("the server's answer is no JSON")
    }
    return json
  }

  /// Posts, and prints what was done.
  func tell(_ path: String, _ body: JSON) async throws {
    let answer = try await ask(path, body)
    let output = OutputStream.standardOutput()
    for sentence in answer["done"]?.array ?? [] { try output.line(sentence.string ?? "") }
    try output.flush()
  }
}
