internal import ArgumentParser
internal import Node

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Run a node.",
    discussion: """
      A setting comes from a flag, else from the environment (QUIRE_ and its name in capitals, _ for dots, without quire.), else from the file, \
      else it has its default.

        quire serve --data-dir /var/lib/quire --listen 0.0.0.0:9092 --advertise events.example.org:9092
      """)

  @Option(help: ArgumentHelp("File of key=value lines in Kafka's names.", valueName: "path"))
  var config: String?

  @Option(help: ArgumentHelp("One setting, in Kafka's names; repeatable.", valueName: "key=value"))
  var set: [String] = []

  @Option(help: ArgumentHelp("Where the data is (default ./quire-data).", valueName: "path"))
  var dataDir: String?

  @Option(help: ArgumentHelp("Where Kafka clients connect (default 127.0.0.1:9092).", valueName: "host:port"))
  var listen: String?

  @Option(help: ArgumentHelp("The address clients are told, if it is another one.", valueName: "host:port"))
  var advertise: String?

  @Option(help: ArgumentHelp("Where HTTP is served (default 127.0.0.1:8080), or off.", valueName: "host:port|off"))
  var http: String?

  @Option(help: ArgumentHelp("Where Postgres clients connect (default 127.0.0.1:5433), or off.", valueName: "host:port|off"))
  var postgres: String?

  @Option(
    help: ArgumentHelp(
      "The etcd in which nodes share what their cluster is, http://HOST:PORT; several separated by commas.", valueName: "url"))
  var etcd: String?

  @Option(help: ArgumentHelp("Number of this node (default 1).", valueName: "number"))
  var nodeId: Int32?

  @Option(help: ArgumentHelp("Where other nodes fetch this node's pages (default: nowhere).", valueName: "host:port"))
  var peer: String?

  @Option(
    help: ArgumentHelp("Be the warm standby of the node whose peer listener is there.", valueName: "host:port"))
  var standbyOf: String?

  func validate() throws { _ = try flags() }

  /// The flags as settings; the last of two with the same key counts.
  func flags() throws -> [(key: String, value: String)] {
    var flags = try set.map { text in
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw ValidationError("'\(text)' is not KEY=VALUE (--set)")
      }
      return (key: String(text[..<equals]), value: String(text[text.index(after: equals)...]))
    }
    for (key, value) in [
      ("log.dirs", dataDir), ("listeners", listen), ("advertised.listeners", advertise), ("quire.http", http),
      ("quire.postgres", postgres),
      ("node.id", nodeId.map(String.init)), ("quire.etcd", etcd), ("quire.peer.listeners", peer),
      ("quire.standby.of", standbyOf),
    ] {
      if let value { flags.append((key, value)) }
    }
    return flags
  }

  func run() async throws {
    let configuration: NodeConfiguration
    do {
      configuration = try NodeConfiguration.resolve(
        flags: try flags(), configurationFile: config, environment: environmentVariables())
    } catch let error as ValidationError {
      throw error
    } catch {
      throw ValidationError("\(error)")
    }
    do {
      try await QuireNode.run(configuration)
    } catch let error as NodeStartError {
      throw CommandFailure("\(error)")
    }
  }
}
