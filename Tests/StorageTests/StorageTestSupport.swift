import Glibc
import Logging
import Model
import NIOCore
import Records
import SQLite
import Storage
import Synchronization
import TestSupport

/// A clock that tests set.
final class ManualClock: Sendable {
  private let milliseconds = Atomic<Int64>(1_700_000_000_000)
  var now: Int64 {
    get { milliseconds.load(ordering: .relaxed) }
    set { milliseconds.store(newValue, ordering: .relaxed) }
  }
}

/// Waits for appends as an event loop would be told of them.
final class Inbox: AppendReceiver {
  private struct State {
    var done = 0
    var groups: [Int] = []
  }
  private let state = Mutex(State())

  func appendsCompleted(_ group: [AppendRequest]) {
    state.withLock {
      $0.done += group.count
      $0.groups.append(group.count)
    }
  }
  var groups: [Int] { state.withLock { $0.groups } }
  func wait(for count: Int) {
    while state.withLock({ $0.done }) < count { usleep(200) }
  }
}

/// Holds a thread of the store up until a test lets it go.
final class Gate: Sendable {
  private let isOpen = Atomic(false)
  func open() { isOpen.store(true, ordering: .releasing) }
  func wait() { while !isOpen.load(ordering: .acquiring) { usleep(200) } }
}

/// A record of a test: its value says who it is.
struct TestRecord: Hashable {
  var offset: Int64 = -1
  var timestamp: Int64
  var value: String
}

/// A store in a directory of its own, with bounds small enough to be met.
final class TestStore {
  let directory: String
  let clock = ManualClock()
  var options: StoreOptions
  private(set) var store: LogStore
  static let topicID = TopicID(high: 7, low: 9)

  init(_ directory: String, _ change: (inout StoreOptions) -> Void = { _ in }) throws {
    self.directory = directory
    var options = StoreOptions(dataDirectory: directory + "/data", nodeID: NodeID(1))
    options.syncHelperCount = 2
    options.readThreadCount = 2
    options.highWatermarkCheckpointMilliseconds = 20
    options.reserveBytes = 64 << 10
    change(&options)
    self.options = options
    store = try Self.open(options, clock)
  }

  deinit { try? store.close() }

  private static func open(_ options: StoreOptions, _ clock: ManualClock) throws -> LogStore {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try LogStore.open(options, logger: logger, now: { clock.now })
  }

  var dataDirectory: String { options.dataDirectory }

  /// Ends the store in order and begins anew, with the partitions attached.
  func reopen(attaching partitions: [Int32] = [0], epoch: Int32 = 0, _ configuration: TopicConfiguration = .init()) throws {
    try store.close()
    try begin(attaching: partitions, epoch: epoch, configuration)
  }

  func begin(attaching partitions: [Int32], epoch: Int32 = 0, _ configuration: TopicConfiguration = .init()) throws {
    store = try Self.open(options, clock)
    for partition in partitions {
      try store.attachPartition(
        Self.name(partition), topicID: Self.topicID, leaderEpoch: LeaderEpoch(epoch), configuration: configuration)
    }
  }

  static func name(_ partition: Int32 = 0) -> TopicPartition { TopicPartition(topic: "plays", partition: partition) }

  @discardableResult
  func create(_ partition: Int32 = 0, _ change: (inout TopicConfiguration) -> Void = { _ in }) throws -> PartitionLog {
    var configuration = TopicConfiguration()
    change(&configuration)
    try store.createPartition(
      Self.name(partition), topicID: Self.topicID, leaderEpoch: LeaderEpoch(0), configuration: configuration)
    return log(partition)
  }

  func log(_ partition: Int32 = 0) -> PartitionLog { store.partition(Self.name(partition))! }

  func request(
    _ values: [String], _ partition: Int32 = 0, timestamps: [Int64]? = nil, inbox: Inbox,
    _ change: (inout BatchBuilder) -> Void = { _ in }
  ) throws -> AppendRequest {
    var builder = BatchBuilder()
    change(&builder)
    for (index, value) in values.enumerated() {
      builder.append(
        key: nil, value: ByteBuffer(string: value), timestamp: timestamps?[index] ?? clock.now)
    }
    let log = log(partition)
    let (records, batches) = try BatchValidator.validate(
      try builder.build(), rules: ValidationRules(configuration: log.configuration, now: clock.now))
    return AppendRequest(
      partition: log, records: records, batches: batches, requiredAcks: -1, receiver: inbox, context: nil)
  }

  /// Appends one batch and waits for its outcome.
  @discardableResult
  func append(
    _ values: [String], _ partition: Int32 = 0, timestamps: [Int64]? = nil,
    _ change: (inout BatchBuilder) -> Void = { _ in }
  ) throws -> AppendOutcome {
    let inbox = Inbox()
    let request = try request(values, partition, timestamps: timestamps, inbox: inbox, change)
    store.append([request])
    inbox.wait(for: 1)
    return request.outcome
  }

  /// Everything from `offset` on by cold reads.
  func readAll(_ partition: Int32 = 0, from offset: Int64? = nil, maxBytes: Int = 1 << 20) throws -> [TestRecord] {
    let log = log(partition)
    var position = Offset(try offset ?? log.loadNow().logStartOffset.rawValue)
    let first = position
    var found: [TestRecord] = []
    while position < (try log.loadNow().highWatermark) {
      let records = try log.read(from: position, maxBytes: maxBytes)
      found += try decode(records).filter { $0.offset >= first.rawValue }
      if records.nextOffset == position { break }
      position = records.nextOffset
    }
    return found
  }

  func decode(_ records: FetchedRecords) throws -> [TestRecord] {
    var found: [TestRecord] = []
    let scratch = RecordScratch()
    for chunk in records.chunks {
      var rest = chunk
      while rest.readableBytes > 0 {
        let header = try rest.withUnsafeReadableBytes { try BatchHeader(ofWhole: $0) }
        let batch = rest.readSlice(length: header.totalBytes)!
        try batch.withUnsafeReadableBytes { bytes in
          try header.verifyChecksum(of: bytes)
          try forEachRecord(in: bytes, scratch: scratch) { record in
            found.append(
              TestRecord(
                offset: record.offset.rawValue, timestamp: record.timestamp,
                value: String(decoding: record.value!, as: UTF8.self)))
            return true
          }
        }
      }
    }
    return found
  }

  func partitionDirectory(_ partition: Int32 = 0) -> String { "\(dataDirectory)/topics/\(Self.name(partition))" }
  func segmentNames(_ partition: Int32 = 0) throws -> [String] {
    try directoryEntries(partitionDirectory(partition)).filter { $0.hasSuffix(".db") }.sorted()
  }
}

/// What the doctor finds in a data directory.
func findings(_ dataDirectory: String) throws -> (damage: [Doctor.Finding], summary: Doctor.Summary) {
  var found: [Doctor.Finding] = []
  let summary = try Doctor.examine(dataDirectory: dataDirectory) { if $0.severity == .damage { found.append($0) } }
  return (found, summary)
}

extension AppendOutcome {
  var baseOffset: Int64? { if case .appended(let offset, _, _) = self { offset.rawValue } else { nil } }
  var error: ErrorCode? { if case .rejected(let code, _) = self { code } else { nil } }
}

/// Runs `body` with a store in a temporary directory.
func withStore(
  _ change: (inout StoreOptions) -> Void = { _ in }, _ body: (TestStore) throws -> Void
) throws {
  try withTemporaryDirectory { directory in try body(try TestStore(directory, change)) }
}

/// Waits until `condition` holds, for work that lanes do when they have time; false after a minute, on however slow a machine.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
  let end = monotonicNanoseconds() + 60_000_000_000
  repeat {
    if try condition() { return true }
    usleep(10_000)
  } while monotonicNanoseconds() < end
  return try condition()
}

func copyFile(_ from: String, _ to: String) throws {
  let (input, output) = (open(from, O_RDONLY), open(to, O_WRONLY | O_CREAT | O_TRUNC, 0o600))
  guard input >= 0, output >= 0 else { throw SystemCallError(call: "open \(from)", number: errno) }
  while sendfile(output, input, nil, 1 << 20) > 0 {}
  close(input)
  close(output)
}

/// A copy of a data directory as a crash of the process would leave it.
func copyTree(_ from: String, to: String) throws {
  mkdir(to, 0o700)
  for name in try directoryEntries(from) {
    let (source, target) = ("\(from)/\(name)", "\(to)/\(name)")
    var status = stat()
    stat(source, &status)
    if status.st_mode & S_IFMT == S_IFDIR {
      try copyTree(source, to: target)
    } else if !name.hasSuffix("-shm") {
      try copyFile(source, target)
    }
  }
}

/// As `copyTree`, of a store at work: again, until no file came or went meanwhile.
func copyAtOneMoment(_ from: String, to: String) throws {
  func names(_ path: String) -> [String] {
    ((try? directoryEntries(path)) ?? []).sorted().flatMap { [path + "/" + $0] + names(path + "/" + $0) }
  }
  while true {
    let before = names(from)
    let isWhole = (try? copyTree(from, to: to)) != nil
    if isWhole, names(from) == before { return }
    removeTree(to)
  }
}
