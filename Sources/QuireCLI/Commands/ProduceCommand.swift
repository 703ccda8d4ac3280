internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model
internal import Query
internal import Records

struct ProduceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "produce",
    abstract: "Put records into a topic: one for each line of standard input or a file.",
    discussion: """
      The bytes of a line are the record's value, whatever they are; with --key-separator what stands before the first separator is \
      its key, and a line without one has no key. With --format jsonl a line is a record as `quire export` writes it.

        quire produce plays --file plays.txt --compression zstd
        printf 'ann:{"n":1}\\n' | quire produce plays --key-separator :
      """)

  @Argument(help: "The topic; the node creates it if it may.")
  var topic: String

  @Option(help: ArgumentHelp("Read this file instead of standard input.", valueName: "path"))
  var file: String?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("What stands between key and value of a line.", valueName: "text"))
  var keySeparator: String?

  @Option(help: ArgumentHelp("What a line is: lines or jsonl.", valueName: "format"))
  var format: RecordFormat = .lines

  @Option(help: ArgumentHelp("Put every record into this partition (default: by the key's hash).", valueName: "number"))
  var partition: Int32?

  @Option(help: ArgumentHelp("Codec of the batches: none, gzip, snappy, lz4 or zstd.", valueName: "codec"))
  var compression: Codec = .none

  @OptionGroup var client: ClientOptions

  enum Codec: String, ExpressibleByArgument, CaseIterable, Sendable {
    case none, gzip, snappy, lz4, zstd

    var compression: Compression {
      switch self {
      case .none: .none
      case .gzip: .gzip
      case .snappy: .snappy
      case .lz4: .lz4
      case .zstd: .zstd
      }
    }
  }

  func validate() throws {
    if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) }
    if let partition, partition < 0 { throw ValidationError("--partition is a number from 0") }
    if keySeparator == "" { throw ValidationError("--key-separator is empty") }
    if format == .jsonl, keySeparator != nil { throw ValidationError("--key-separator goes with --format lines") }
  }

  func run() async throws {
    let input = try InputChunks(path: file)
    let lines = LineRecords(format: format, keySeparator: keySeparator.map { Array($0.utf8) })
    try await client.withClient { [topic, partition, compression] client in
      let producer = try await Producer(
        client: client, topic: topic, options: Producer.Options(compression: compression.compression))
      var work = ProduceWork(producer: producer, input: input, lines: lines, partition: partition)
      try await work.run()
    }
  }
}

/// Lines in, records out.
struct ProduceWork {
  /// How long a batch that is not full waits for more lines.
  private static let linger = Duration.milliseconds(5)

  let producer: Producer
  let input: InputChunks
  let lines: LineRecords
  let partition: Int32?
  var progress = Progress(verb: "produced", sharesTerminal: false)

  mutating func run() async throws {
    // One record cannot be larger than the topic's largest batch; twice that leaves room for Base64 and escapes in JSON.
    var splitter = LineSplitter(lineBytesMax: max(16 << 20, 2 * producer.batchBytesMax))
    do {
      while let chunk = try await input.next() {
        splitter.append(chunk)
        try await takeLines(&splitter)
        if input.isEmpty { try await Task.sleep(for: Self.linger) }
        if input.isEmpty { try await producer.submitAll() }
      }
      splitter.finish()
      try await takeLines(&splitter)
      try await producer.flush()
    } catch {
      progress.clear()
      throw await explained(error)
    }
    progress.clear()
    say("\(progress.summary) into '\(producer.topic)'")
  }

  private mutating func takeLines(_ splitter: inout LineSplitter) async throws {
    let now = WallClock.milliseconds
    while let isFull = try splitter.nextLine({ line, number in try add(line, number: number, now: now) }) {
      if isFull { try await producer.submit() }
    }
  }

  private mutating func add(_ line: UnsafeRawBufferPointer, number: Int, now: Int64) throws -> Bool {
    do {
      let isFull = try lines.withRecord(of: line) { record in
        try producer.append(
          key: record.key, value: record.value, headers: record.headers, timestamp: record.timestamp ?? now,
          partition: partition ?? record.partition)
      }
      progress.add(records: 1, bytes: line.count + 1)
      return isFull
    } catch let error as RecordJSON.Failure {
      throw CommandFailure("line \(number): \(error.reason)")
    } catch let error as KafkaClientError {
      throw CommandFailure("line \(number): \(error.message)")
    }
  }

  /// Stores what came before the failure where that is possible, and says how much that was.
  private func explained(_ error: any Error) async -> any Error {
    if error is CancellationError { return error }
    let message: String
    switch error {
    case let error as CommandFailure:
      try? await producer.flush()
      message = error.message
    case let error as LineSplitter.LineTooLong:
      try? await producer.flush()
      message = "line \(error.lineNumber): it is longer than \(error.bytesMax) bytes"
    default: message = "\(error)"
    }
    let count = await producer.acknowledgedRecords
    return CommandFailure("\(message); \(count) \(count == 1 ? "record was" : "records were") stored")
  }
}
