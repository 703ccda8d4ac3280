import Pages
import SQLite
import TestSupport
import Testing

@Suite("The reader of a -wal") struct WALReaderTests {
  /// A -wal with some commits and without a checkpoint; the database's file, which is as it was before them.
  private func written(_ directory: String, rows: Int = 30) throws -> (wal: [UInt8], database: [UInt8]) {
    let path = "\(directory)/written.db"
    let connection = try Connection(path: path, mode: .create)
    try connection.execute("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)")
    _ = try connection.checkpoint(.truncate)
    for row in 0..<rows { try connection.execute("INSERT INTO t VALUES(\(row), randomblob(\(row * 30)))") }
    connection.close()
    return (fileBytes(path + "-wal"), fileBytes(path))
  }

  private func commits(_ wal: [UInt8]) -> (commits: [WALCommit], end: WALReader.End?) {
    guard case .success(let header) = WALReader.header(read: reading(wal)) else { return ([], nil) }
    var reader = WALReader(from: WALChain(header))
    var commits: [WALCommit] = []
    while true {
      switch reader.next(read: reading(wal)) {
      case .commit(let commit): commits.append(commit)
      case .end(let end): return (commits, end)
      }
    }
  }

  @Test("finds each commit once, and says how the log ends")
  func ends() throws {
    try withTemporaryDirectory { directory in
      let wal = try written(directory).wal
      let (all, end) = commits(wal)
      #expect(all.count == 30 && end == .end(uncommitted: 0))
      #expect(all.first?.frames.lowerBound == 1)
      #expect(zip(all, all.dropFirst()).allSatisfy { $0.frames.upperBound + 1 == $1.frames.lowerBound })
      let frames = all.last!.frames
      // The last commit without its last frame, and without a part of it.
      let lastFrame = 32 + (frames.upperBound - 1) * (1024 + 24)
      #expect(commits(Array(wal[..<lastFrame])).end == .end(uncommitted: frames.count - 1))
      #expect(commits(Array(wal[..<(lastFrame + 500)])).end == .torn(frame: frames.upperBound))
      #expect(commits(Array(wal[..<(lastFrame + 500)])).commits == all.dropLast())
      var damaged = wal
      damaged[lastFrame + 600] ^= 1
      #expect(commits(damaged).end == .torn(frame: frames.upperBound))
      // Frames of an older log behind the end: other salts.
      var older = wal + wal[lastFrame...]
      older[wal.count + 8] ^= 1
      #expect(commits(older).end == .end(uncommitted: 0))
      // And a frame of this one that was there before.
      #expect(commits(wal + wal[lastFrame...]).end == .torn(frame: frames.upperBound + 1))
    }
  }

  @Test("goes on as the log grows, whatever it saw of a commit before that was whole")
  func growing() throws {
    try withTemporaryDirectory { directory in
      let wal = try written(directory, rows: 12).wal
      let all = commits(wal).commits
      guard case .success(let header) = WALReader.header(read: reading(wal)) else { return #expect(Bool(false)) }
      var reader = WALReader(from: WALChain(header))
      var found: [WALCommit] = []
      var seen = wal
      for end in stride(from: 32, through: wal.count, by: 211) {
        // What is not written yet is rubbish, or not there.
        seen = end % 2 == 0 ? Array(wal[..<end]) : wal[..<end] + [UInt8](repeating: 0x5A, count: wal.count - end)
        while case .commit(let commit) = reader.next(read: reading(seen)) { found.append(commit) }
      }
      while case .commit(let commit) = reader.next(read: reading(wal)) { found.append(commit) }
      #expect(found == all)
      // A place that was kept is gone on from.
      var later = WALReader(from: reader.chain)
      #expect(later.next(read: reading(wal)) == .end(.end(uncommitted: 0)))
    }
  }

  @Test("tells a log that was begun anew from one that goes on, also when it has more frames than the old one")
  func restart() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/a.db"
      let connection = try Connection(path: path, mode: .create)
      try connection.execute("PRAGMA journal_mode=WAL; CREATE TABLE t(b BLOB)")
      let first = fileBytes(path + "-wal")
      guard case .success(let header) = WALReader.header(read: reading(first)) else { return #expect(Bool(false)) }
      var reader = WALReader(from: WALChain(header))
      while case .commit = reader.next(read: reading(first)) {}
      let frames = reader.chain.frameCount
      #expect(try connection.checkpoint(.passive).isComplete)
      for _ in 0..<frames + 2 { try connection.execute("INSERT INTO t VALUES(randomblob(5000))") }
      let second = fileBytes(path + "-wal")
      guard case .end(.restarted(let found?)) = reader.next(read: reading(second)) else { return #expect(Bool(false)) }
      #expect(found.salts != header.salts)
      #expect(commits(second).commits.count == frames + 2)
      _ = try connection.checkpoint(.truncate)
      #expect(reader.next(read: reading(fileBytes(path + "-wal"))) == .end(.restarted(nil)))
    }
  }

  @Test("no commit is taken with a bit in it that is another")
  func flippedBits() throws {
    try withTemporaryDirectory { directory in
      let wal = try written(directory, rows: 9).wal
      let all = commits(wal).commits
      var random = SeededRandom(seed: 11)
      var bits = (0..<32 * 8).map { $0 }
      for frame in 0..<all.last!.frames.upperBound { bits += (0..<24 * 8).map { (32 + frame * 1048) * 8 + $0 } }
      bits += (0..<800).map { _ in Int(random.next() % UInt64(wal.count * 8)) }
      for bit in bits {
        var damaged = wal
        damaged[bit / 8] ^= 1 << UInt8(bit % 8)
        let frame = (bit / 8 - 32) / 1048 + 1
        let expected = bit / 8 < 32 ? [] : all.filter { $0.frames.upperBound < frame }
        let found = commits(damaged).commits
        #expect(found == expected, "bit \(bit)")
        if found != expected { return }
      }
    }
  }

  @Test("reads logs of machines with the other byte order, as SQLite does")
  func byteOrders() throws {
    try withTemporaryDirectory { directory in
      let (wal, database) = try written(directory)
      var other = wal
      // The checksums anew, word by word, over big-endian words.
      func word(_ at: Int) -> UInt32 { other[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }
      func put(_ value: UInt32, _ at: Int) {
        for i in 0..<4 { other[at + i] = UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * i)) }
      }
      var sums: (UInt32, UInt32) = (0, 0)
      func add(_ range: Range<Int>) {
        for at in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
          sums.0 = sums.0 &+ word(at) &+ sums.1
          sums.1 = sums.1 &+ word(at + 4) &+ sums.0
        }
      }
      put(0x377f_0683, 0)
      add(0..<24)
      put(sums.0, 24)
      put(sums.1, 28)
      for start in stride(from: 32, to: other.count, by: 1048) {
        add(start..<start + 8)
        add(start + 24..<start + 1048)
        put(sums.0, start + 16)
        put(sums.1, start + 20)
      }
      #expect(commits(other).commits == commits(wal).commits)
      let path = "\(directory)/other.db"
      try writeFile(path, database)
      try writeFile(path + "-wal", other)
      let connection = try Connection(path: path, mode: .readWrite)
      #expect(try connection.integer("SELECT count(*) FROM t") == 30)
      connection.close()
    }
  }
}
