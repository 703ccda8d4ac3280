internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model

struct MirrorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mirror",
    abstract: "Copy topics from a Kafka cluster into a node, live.",
    discussion: """
      Offsets stay what they are where the target's topic is empty or new; where it has records, the copy goes behind them and its \
      offsets are shifted by a fixed number. Offsets that the source's groups commit are committed at the target too, as long as the \
      group has no members there. A copied topic takes no other records until `quire mirror --stop`. It runs until Ctrl-C and, \
      started again, goes on where it was: every record is there once.

        quire mirror --from kafka1:9092 orders payments
        quire mirror --from kafka1:9092 --topics 'orders\\..*' --once
        quire mirror --stop orders
      """)

  @Option(help: ArgumentHelp("A broker of the cluster to copy from.", valueName: "host:port"))
  var from: String?

  @Argument(help: "Topics to copy.")
  var names: [String] = []

  @Option(
    name: .customLong("topics"), help: ArgumentHelp("Copy all topics whose name matches, also later ones.", valueName: "regex"))
  var pattern: String?

  @Option(
    help: ArgumentHelp(
      "The Kafka address of the node to copy to (or QUIRE_BOOTSTRAP; default 127.0.0.1:9092).", valueName: "host:port"))
  var to: String?

  @Option(
    help: ArgumentHelp("The HTTP address of that node (or QUIRE_SERVER; default http://127.0.0.1:8080).", valueName: "url"))
  var server: String?

  @Option(help: ArgumentHelp("Copy the offsets of this group only; repeatable. Default: of all groups.", valueName: "group"))
  var group: [String] = []

  @Flag(help: "Copy up to where the topics end now, and end.")
  var once = false

  @Flag(help: "End the mirroring of the named topics: they take records of anybody again.")
  var stop = false

  @Option(help: ArgumentHelp("How the state at the end is printed: table or json.", valueName: "format"))
  var format: ListFormat = .table

  func validate() throws {
    if stop {
      if from != nil || pattern != nil || once || !group.isEmpty {
        throw ValidationError("--stop takes the names of topics only")
      }
      if names.isEmpty { throw ValidationError("name the topics to stop") }
    } else {
      if from == nil { throw ValidationError("--from is missing: a broker of the cluster to copy from") }
      if names.isEmpty, pattern == nil { throw ValidationError("name the topics to copy, or use --topics REGEX") }
    }
    for name in names { if let complaint = TopicName.complaint(about: name) { throw ValidationError(complaint) } }
    if let pattern {
      do { _ = try TopicPattern(pattern) } catch { throw ValidationError("--topics '\(pattern)' is no regular expression") }
    }
    if let from { _ = try Self.addresses(from) }
    _ = try target.addresses()
    _ = try history.source()
  }

  private static func addresses(_ text: String) throws -> [BrokerAddress] {
    do { return try BrokerAddress.list(parsing: text) } catch { throw ValidationError(error.message) }
  }

  private var target: ClientOptions {
    var options = ClientOptions()
    options.bootstrap = to
    return options
  }

  private var history: HistoryOptions {
    var options = HistoryOptions()
    options.server = server
    options.dataDir = nil
    return options
  }

  func run() async throws {
    let voice = MirrorVoice()
    if stop { return try await target.withClient { [names] in try await Mirror.end(names, at: $0, voice: voice) } }
    guard case .server(let address) = try history.source() else { return }
    let selection = Mirror.Selection(
      topics: names, pattern: try pattern.map { try TopicPattern($0) }, groups: group.isEmpty ? nil : group, isOnce: once)
    let source = KafkaClient(bootstrap: try Self.addresses(from!), clientID: "quire-mirror")
    let connections = HTTPConnections(address)
    let start = ContinuousClock.now
    let (format, isOnce) = (format, once)
    try await target.withClient { target in
      let mirror = Mirror(
        source: source, target: target, door: MirrorTarget(connections: connections), selection: selection, voice: voice)
      let outcome: Result<Void, any Error>
      do { outcome = .success(try await mirror.run()) } catch {
        outcome = .failure(error)
        // In a task of its own: this one is cancelled and cannot wait any more.
        if error is CancellationError { await Task { await mirror.copyGroupsBeforeEnd() }.value }
      }
      await source.close()
      connections.close()
      voice.clear()
      let report = await mirror.report(seconds: (ContinuousClock.now - start) / .seconds(1))
      // Not before it began: then there is nothing to tell but what went wrong.
      if !report.partitions.isEmpty { try Self.print(report, format) }
      try outcome.get()
      if isOnce, !report.isWhole { throw CommandFailure("not everything could be copied") }
    }
  }

  private static func print(_ report: MirrorReport, _ format: ListFormat) throws {
    let output = OutputStream.standardOutput()
    switch format {
    case .table: try output.write(report.table)
    case .json: try output.line(report.json.text)
    }
    try output.flush()
  }
}
