import Glibc
import Model
import Pages
import SQLite
import Synchronization
import TestSupport
import Testing

@Suite("Commits appended to a replica's own -wal") struct ReplicaTortureTests {
  @Test("the self-test passes with this machine's SQLite")
  func selfTest() throws {
    try withTemporaryDirectory { #expect(FrameAppender.selfTest(in: $0) == nil) }
  }

  @Test(
    "are read whole by other connections, survive checkpoints and log restarts, and make the leader's file",
    arguments: [512, 4096, 65_536])
  func follows(pageBytes: Int) throws {
    try withTemporaryDirectory { directory in
      let trial = try Trial(directory, pageBytes: pageBytes, commits: pageBytes > 4096 ? 25 : 80)
      let path = trial.replicaPath
      let replica = try Replica(path, sets: trial.sets)
      let reader = try Connection(path: path, mode: .readOnly)
      var restarts = 0
      var header: [UInt8] = []
      for (index, set) in trial.sets.enumerated() {
        // A reader that stays in an old commit now and then: then the log goes on and is not begun anew.
        if index % 7 == 0 { try reader.execute("BEGIN; SELECT count(*) FROM t") }
        let seen = try reader.integer("SELECT count(*) FROM t")
        #expect(try replica.apply(set) == nil)
        if reader.isInTransaction {
          #expect(try reader.integer("SELECT count(*) FROM t") == seen)
          reader.rollback()
        }
        if index % 5 == 0 { _ = try replica.appender.checkpoint() }
        if index % 10 == 0 { #expect(try reader.text("PRAGMA integrity_check") == "ok") }
        let found = Array(fileBytes(path + "-wal").prefix(32))
        if found != header { restarts += 1 }
        header = found
      }
      #expect(restarts > 2)
      #expect(try reader.text("PRAGMA integrity_check") == "ok")
      reader.close()
      replica.appender.close()
      #expect(difference(try trial.finish(), trial.expected, pageBytes: trial.pageBytes) == nil)
    }
  }

  @Test("survive kill -9 at any moment, with readers in the process and in others")
  func killed() async throws {
    let directory = try makeTemporaryDirectory()
    defer { removeTree(directory) }
    let trial = try Trial(directory, pageBytes: 1024, commits: 220)
    try writeFile("\(directory)/sets", trial.encoded)
    let foreign = ForeignReader(trial.replicaPath)
    foreign.start()
    var random = SeededRandom(seed: 77)
    var lives = 0
    while !fileExists("\(directory)/done"), lives < 200 {
      lives += 1
      let milliseconds = lives > 150 ? 60_000 : 20 + Int(random.next() % 180)
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        [directory = directory as String, milliseconds = milliseconds as Int] in
        try Life(directory: directory).run(killedAfter: milliseconds)
      }
      // A life says on standard error what it found wrong.
      let words = String(decoding: result?.standardErrorContent.filter { $0 >= 32 } ?? [], as: UTF8.self)
      #expect(!words.contains("wrong:"), "\(words)")
      if words.contains("wrong:") { break }
    }
    let problems = foreign.stop()
    #expect(problems == [])
    #expect(fileExists("\(directory)/done"), "\(lives) lives were not enough")
    #expect(lives > 2)
    #expect(difference(try trial.finish(), trial.expected, pageBytes: trial.pageBytes) == nil)
  }

  /// A database with its commits, and the beginning of a replica.
  struct Trial {
    let replicaPath: String
    let pageBytes: Int
    let sets: [PageSet]
    let expected: [UInt8]

    init(_ directory: String, pageBytes: Int, commits: Int) throws {
      let size = PageSize(bytes: pageBytes)!
      self.pageBytes = pageBytes
      replicaPath = "\(directory)/replica.db"
      let database = try WrittenDatabase("\(directory)/leader.db", pageSize: size, seed: 21, usesDeltas: true)
      while database.sets.count < commits { try database.step() }
      sets = database.sets
      expected = try database.finish()
      try writeFile(replicaPath, database.beginning.bytes)
    }

    var encoded: [UInt8] {
      var bytes: [UInt8] = []
      for set in sets { set.encode(into: &bytes) }
      return bytes
    }

    /// The replica's file, with everything in it.
    func finish() throws -> [UInt8] {
      let connection = try Connection(path: replicaPath, mode: .readWrite)
      #expect(try connection.text("PRAGMA integrity_check") == "ok")
      connection.setCheckpointOnClose(true)
      connection.close()
      return fileBytes(replicaPath)
    }
  }

  /// One life of a replica's process, which ends by SIGKILL.
  struct Life: Sendable {
    let directory: String

    func run(killedAfter milliseconds: Int) throws {
      let path = "\(directory)/replica.db"
      var decoder = PageSetDecoder()
      fileBytes("\(directory)/sets").withUnsafeBytes { decoder.append($0) }
      var sets: [PageSet] = []
      while let set = try decoder.next() { sets.append(set) }
      // From here on, so that a slow machine does not kill it before it has begun.
      KillingThread(after: milliseconds).start()
      do {
        let replica = try Replica(path, sets: sets)
        let reader = try Connection(path: path, mode: .readOnly)
        reader.setBusyTimeout(milliseconds: 20_000)
        let rest = sets.drop { $0.header.before.commitSequence < replica.position.commitSequence }
        for (index, set) in rest.enumerated() {
          if let refusal = try replica.apply(set) { return die("\(refusal)") }
          if index % 8 == 3 { try replica.appender.sync() }
          if index % 11 == 5 { _ = try replica.appender.checkpoint() }
          if index % 16 == 7, try reader.text("PRAGMA quick_check") != "ok" { return die("a reader finds damage") }
          usleep(2000)
        }
        try writeFile("\(directory)/done", [])
      } catch {
        die("\(error)")
      }
      kill(getpid(), SIGKILL)
    }

    private func die(_ words: String) {
      let line = Array("wrong: \(words)\n".utf8)
      write(STDERR_FILENO, line, line.count)
      kill(getpid(), SIGKILL)
    }
  }

  private final class KillingThread: Sendable {
    private let milliseconds: Int
    init(after milliseconds: Int) { self.milliseconds = milliseconds }
    func start() {
      var thread = pthread_t()
      pthread_create(
        &thread, nil,
        { context in
          let milliseconds = Unmanaged<KillingThread>.fromOpaque(context!).takeRetainedValue().milliseconds
          usleep(UInt32(milliseconds) * 1000)
          kill(getpid(), SIGKILL)
          return nil
        }, Unmanaged.passRetained(self).toOpaque())
    }
  }

  /// `sqlite3` in a loop: opens the replica, looks through it, and closes it, sometimes as the last one who has it open.
  private final class ForeignReader: Sendable {
    private let path: String
    private let isStopping = Atomic(false)
    private let problems = Mutex<[String]>([])
    private let isDone = Atomic(false)

    init(_ path: String) { self.path = path }

    func start() {
      var thread = pthread_t()
      let code = pthread_create(
        &thread, nil,
        { context in
          Unmanaged<ForeignReader>.fromOpaque(context!).takeRetainedValue().run()
          return nil
        }, Unmanaged.passRetained(self).toOpaque())
      if code != 0 { isDone.store(true, ordering: .releasing) }
    }

    /// - Returns: what was wrong.
    func stop() -> [String] {
      isStopping.store(true, ordering: .relaxed)
      while !isDone.load(ordering: .acquiring) { usleep(10_000) }
      return problems.withLock { $0 }
    }

    private func run() {
      defer { isDone.store(true, ordering: .releasing) }
      while !isStopping.load(ordering: .relaxed) {
        guard let pipe = popen("sqlite3 -cmd '.timeout 20000' '\(path)' 'PRAGMA integrity_check' 2>&1", "r") else { return }
        var line = [CChar](repeating: 0, count: 400)
        var text = ""
        line.withUnsafeMutableBufferPointer { line in
          while let start = fgets(line.baseAddress, CInt(line.count), pipe) { text += String(cString: start) }
        }
        let status = pclose(pipe)
        // 127: there is none on this machine.
        if status >> 8 & 0xFF == 127 { return }
        if text != "ok\n" { problems.withLock { $0.append("\(status): \(text)") } }
        usleep(20_000)
      }
    }
  }
}
