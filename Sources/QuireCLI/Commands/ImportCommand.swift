internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Model
internal import NIOCore
internal import Query
internal import Records

struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Put records from files into a topic, with their keys, headers and timestamps.",
    discussion: """
      Takes what `quire export` writes, and files of the same columns that other tools wrote. Each record goes into the partition that \
      it was in, if the topic has it, else where its key belongs; within a partition the order is kept. A directory stands for all \
      files of the format in it. Declared columns \
      are not taken: they are computed of records (`quire column`). Records before an error are stored, and it says how many those are.

        quire import plays --format parquet --input plays.parquet
        quire import plays --format jsonl --input -
      """)

  @Argument(help: "The topic; the node creates it if it may.")
  var topic: String

  @Option(help: ArgumentHelp("jsonl, csv, parquet or sqlite.", valueName: "format"))
  var format: FileFormat

  @Option(help: ArgumentHelp("A file, a directory of files, or - for standard input.", valueName: "path"))
  var input: String

  @Flag(help: "Choose partitions by the records' keys, whatever partitions they were in.")
  var repartition = false

  @Option(help: ArgumentHelp("Codec of the batches: none, gzip, snappy, lz4 or zstd.", valueName: "codec"))
  var compression: ProduceCommand.Codec = .none

  @OptionGroup var client: ClientOptions

  func validate() throws {
    if let complaint = TopicName.complaint(about: topic) { throw ValidationError(complaint) }
    if input == "-", format == .parquet || format == .sqlite {
      throw ValidationError("\(format.rawValue) is not read from a pipe: name a file (--input)")
    }
  }

  func run() async throws {
    let files = try RecordImport.files(input, format: format.format)
    try await client.withClient { [topic, format, repartition, compression] client in
      let producer = try await Producer(
        client: client, topic: topic, options: Producer.Options(compression: compression.compression))
      let work = ImportWork(producer: producer, format: format.format, keepsPartitions: !repartition)
      try await work.run(files)
    }
  }
}

/// Files in, records out.
private final class ImportWork {
  private let producer: Producer
  private let format: ExportFormat
  private let keepsPartitions: Bool
  private let bar = ProgressBar(verb: "imported", sharesTerminal: false)
  private var records: Int64 = 0
  private var bytes: Int64 = 0
  /// Records of partitions that the topic does not have.
  private var moved: Int64 = 0
  /// Columns that are not taken.
  private var leftOut: Set<String> = []

  init(producer: Producer, format: ExportFormat, keepsPartitions: Bool) {
    self.producer = producer
    self.format = format
    self.keepsPartitions = keepsPartitions
  }

  func run(_ files: [String]) async throws {
    defer { bar.clear() }
    do {
      for path in files { try await take(path) }
      try await producer.flush()
    } catch {
      bar.clear()
      throw await explained(error)
    }
    bar.clear()
    say("\(bar.summary(records: records, bytes: bytes)) into '\(producer.topic)'")
    if !leftOut.isEmpty {
      say("not taken, since a topic computes such columns of its records: \(leftOut.sorted().joined(separator: ", "))")
    }
    if moved > 0 {
      say(
        "\(moved) of them were in partitions that '\(producer.topic)' does not have (it has \(producer.partitionCount)): they went where their keys belong"
      )
    }
  }

  private func take(_ path: String) async throws {
    let reader = try RecordImport.open(path, format: format)
    defer { leftOut.formUnion(reader.leftOut) }
    while let record = try reader.next() {
      var isFull = false
      do throws(KafkaClientError) { isFull = try append(record) } catch {
        throw ImportError(path: path, place: reader.place, message: error.message)
      }
      records += 1
      bytes += Int64((record.key?.count ?? 0) + (record.value?.count ?? 0))
      if isFull { try await producer.submit() }
      if records & 0xFFF == 0 {
        try Task.checkCancellation()
        let progress = reader.progress ?? (0, 0)
        bar.show(records: records, bytes: bytes, done: progress.done, all: progress.all)
      }
    }
  }

  private func append(_ record: ImportedRecord) throws(KafkaClientError) -> Bool {
    var partition = keepsPartitions ? record.partition : nil
    if let wanted = partition, !(0..<producer.partitionCount).contains(wanted) {
      partition = nil
      moved += 1
    }
    let headers = record.headers.map { RecordHeader(key: $0.name, value: $0.value.map { ByteBuffer(bytes: $0) }) }
    let timestamp = record.timestamp ?? WallClock.milliseconds
    return try Self.withBytes(record.key) { (key) throws(KafkaClientError) in
      try Self.withBytes(record.value) { (value) throws(KafkaClientError) in
        try producer.append(key: key, value: value, headers: headers, timestamp: timestamp, partition: partition)
      }
    }
  }

  private static func withBytes<Result>(
    _ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) throws(KafkaClientError) -> Result
  ) throws(KafkaClientError) -> Result {
    guard let bytes else { return try body(nil) }
    return try bytes.withUnsafeBufferPointer { (bytes) throws(KafkaClientError) in try body(UnsafeRawBufferPointer(bytes)) }
  }

  /// Stores what came before the failure where that is possible, and says how much that was.
  private func explained(_ error: any Error) async -> any Error {
    if error is CancellationError { return error }
    if error is ImportError { try? await producer.flush() }
    let message = (error as? KafkaClientError)?.message ?? "\(error)"
    let count = await producer.acknowledgedRecords
    return CommandFailure("\(message); \(count) \(count == 1 ? "record was" : "records were") stored before it")
  }
}
