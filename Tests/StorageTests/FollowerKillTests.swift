import Glibc
import Model
import Pages
import SQLite
import TestSupport
import Testing

@testable import Storage

@Suite("A follower's process") struct FollowerKillTests {
  @Test("may be killed at any moment: what it acknowledged is there, and it goes on to what its leader has, byte for byte")
  func killed() async throws {
    let directory = try makeTemporaryDirectory()
    defer { removeTree(directory) }
    for name in ["leader", "follower"] { mkdir("\(directory)/\(name)", 0o700) }
    let leader = try TestStore("\(directory)/leader") { $0.checkpointBytes = 100_000 }
    try leader.create { $0.segmentBytes = 60_000 }
    let pages = try LeaderPages(leader)
    var bytes: [UInt8] = []
    for index in 0..<90 {
      try leader.append(["\(index)", String(repeating: "z", count: 500 * (index % 9))])
      for set in try pages.next() { set.encode(into: &bytes) }
    }
    let sealed = try leader.segmentNames().dropLast()
    #expect(sealed.count > 1)
    // The rows that say how.
    #expect(try eventually { try Pair.sealed(leader).count >= sealed.count })
    try leader.append(["the end"])
    for set in try pages.next() { set.encode(into: &bytes) }
    try storeBytes(bytes, at: "\(directory)/sets")
    var random = SeededRandom(seed: 4)
    var lives = 0
    while !fileExists("\(directory)/done"), lives < 150 {
      lives += 1
      let milliseconds = lives > 100 ? 60_000 : 5 + Int(random.next() % 150)
      let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
        [directory = directory as String, milliseconds = milliseconds as Int, sets = (lives < 4 ? 20 : .max) as Int] in
        FollowerLife(directory: directory).run(killedAfter: milliseconds, or: sets)
      }
      let words = String(decoding: result?.standardErrorContent.filter { $0 >= 32 } ?? [], as: UTF8.self)
      #expect(!words.contains("wrong:"), "\(words)")
      if words.contains("wrong:") { break }
    }
    #expect(fileExists("\(directory)/done"), "\(lives) lives were not enough")
    #expect(lives > 2)
    let follower = try TestStore("\(directory)/follower")
    let replica = try Pair.open(follower)
    replica.raiseHighWatermark(to: try leader.log().loadNow().highWatermark)
    #expect(replica.standing?.sum == pages.sums?.total)
    #expect(
      try eventually {
        _ = try replica.sync()
        return sealed.allSatisfy { !fileExists("\(follower.partitionDirectory())/\($0)-wal") }
      })
    for name in sealed {
      let isSame =
        storedBytes("\(follower.partitionDirectory())/\(name)") == storedBytes("\(leader.partitionDirectory())/\(name)")
      #expect(isSame, "\(name)")
    }
    #expect(try follower.readAll() == leader.readAll())
  }
}

private func storeBytes(_ bytes: [UInt8], at path: String) throws {
  guard let file = fopen(path, "w") else { throw SystemCallError(call: "fopen \(path)", number: errno) }
  fwrite(bytes, 1, bytes.count, file)
  fclose(file)
}

/// One life of a follower's process, which ends by SIGKILL.
private struct FollowerLife: Sendable {
  let directory: String

  /// - Parameter sets: how many it takes at most: a fast machine would be done in one life.
  func run(killedAfter milliseconds: Int, or sets: Int) {
    let setsMax = sets
    do {
      var decoder = PageSetDecoder()
      storedBytes("\(directory)/sets").withUnsafeBytes { decoder.append($0) }
      var sets: [PageSet] = []
      while let set = try decoder.next() { sets.append(set) }
      // From here on, so that a slow machine does not kill it before it has begun.
      let killer = StorageThread("killer") {
        usleep(UInt32(milliseconds) * 1_000)
        kill(getpid(), SIGKILL)
      }
      try follow(sets, max: setsMax)
      withExtendedLifetime(killer) {}
    } catch { die("\(error)") }
    kill(getpid(), SIGKILL)
  }

  private func follow(_ sets: [PageSet], max: Int) throws {
    let store = try TestStore("\(directory)/follower") { $0.checkpointBytes = 100_000 }
    let replica = try Pair.open(store)
    var next = 0
    let acknowledged = storedBytes("\(directory)/acknowledged")
    if let standing = replica.standing {
      guard let known = sets.firstIndex(where: { $0.header.after == standing.position }),
        sets[known].header.sumAfter == standing.sum
      else { return die("it stands at \(standing), where its leader never was") }
      next = known + 1
    }
    // One byte for each set that was.
    guard next >= acknowledged.count else { return die("\(acknowledged.count) sets were acknowledged, \(next) are here") }
    let receipts = open("\(directory)/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    var receipted = acknowledged.count
    var seen = Int64(0)
    for index in next..<sets.count {
      if index - next >= max { return }
      try replica.apply(sets[index])
      guard index % 3 == 0 || index == sets.count - 1 else { continue }
      guard try replica.sync() == sets[index].header.after else { return die("a sync acknowledges something else") }
      let receipt = [UInt8](repeating: 1, count: index + 1 - receipted)
      write(receipts, receipt, receipt.count)
      receipted = index + 1
      replica.raiseHighWatermark(to: store.log().offsets!.logEndOffset)
      if index % 4 == 0 {
        let offsets = try store.readAll().map(\.offset)
        guard offsets == Array(0..<Int64(offsets.count)), Int64(offsets.count) >= seen else {
          return die("a reader sees \(offsets)")
        }
        seen = Int64(offsets.count)
      }
    }
    try storeBytes([], at: "\(directory)/done")
  }

  private func die(_ words: String) {
    let line = Array("wrong: \(words)\n".utf8)
    write(STDERR_FILENO, line, line.count)
    kill(getpid(), SIGKILL)
  }
}
