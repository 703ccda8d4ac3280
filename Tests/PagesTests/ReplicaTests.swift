import Model
import Pages
import TestSupport
import Testing

@Suite("Page sets of databases that SQLite writes") struct ReplicaTests {
  struct Trial: CustomTestStringConvertible {
    var pageSize: Int
    var seed: UInt64
    var usesDeltas: Bool
    var testDescription: String { "pages of \(pageSize), seed \(seed), \(usesDeltas ? "deltas" : "whole")" }

    static let all = [512, 1024, 4096, 8192, 65_536].flatMap { size in
      [Trial(pageSize: size, seed: 1, usesDeltas: true), Trial(pageSize: size, seed: 2, usesDeltas: false)]
    }
    var size: PageSize { PageSize(bytes: pageSize)! }
  }

  private static func encoded(_ sets: [PageSet]) -> [UInt8] {
    var bytes: [UInt8] = []
    for set in sets { set.encode(into: &bytes) }
    return bytes
  }

  private static func decoded(_ bytes: [UInt8], step: Int = .max) throws -> [PageSet] {
    var decoder = PageSetDecoder()
    var sets: [PageSet] = []
    var at = 0
    while at < bytes.count {
      let end = min(bytes.count - at, step) + at
      bytes.withUnsafeBytes { decoder.append(UnsafeRawBufferPointer(rebasing: $0[at..<end])) }
      at = end
      while let set = try decoder.next() { sets.append(set) }
    }
    #expect(decoder.isBetweenSets)
    return sets
  }

  @Test(
    "applied one by one, or merged in groups, the sets of all commits make the file that SQLite's checkpoint makes",
    arguments: Trial.all)
  func replica(_ trial: Trial) throws {
    try withTemporaryDirectory { directory in
      let database = try WrittenDatabase(
        "\(directory)/a.db", pageSize: trial.size, seed: trial.seed, usesDeltas: trial.usesDeltas)
      for _ in 0..<(trial.pageSize > 8192 ? 40 : 60) { try database.step() }
      #expect(database.sets.count > 20 && database.restarts > 0)
      if trial.pageSize < 8192 { #expect(database.rewrittenFrames > 0, "no transaction was spilled") }
      let sets = try Self.decoded(Self.encoded(database.sets), step: 1000)
      #expect(sets == database.sets)

      var replica = database.beginning
      for set in sets { #expect(replica.apply(set) == nil) }
      #expect(replica == database.image)

      var grouped = database.beginning
      var random = SeededRandom(seed: trial.seed)
      var rest = sets[...]
      while let first = rest.popFirst() {
        var compactor = PageSetCompactor(first)
        for _ in 0..<random.next() % 8 { if let next = rest.popFirst() { try compactor.add(next) } }
        let merged = try compactor.merged()
        #expect(grouped.apply(try #require(try Self.decoded(Self.encoded([merged])).first)) == nil)
      }
      #expect(grouped == database.image)

      let file = try database.finish()
      #expect(difference(file, replica.bytes, pageBytes: trial.pageSize) == nil)
      #expect(Image.sums(file, trial.size) == replica.sums, "sums that were kept are not those of the file")
    }
  }

  @Test("deltas are chosen where they are shorter, and lead to the same pages")
  func deltas() throws {
    try withTemporaryDirectory { directory in
      let size = PageSize(bytes: 4096)!
      let whole = try WrittenDatabase("\(directory)/w.db", pageSize: size, seed: 3, usesDeltas: false)
      let delta = try WrittenDatabase("\(directory)/d.db", pageSize: size, seed: 3, usesDeltas: true)
      for _ in 0..<60 {
        try whole.step()
        try delta.step()
      }
      #expect(whole.image == delta.image)
      let bytes = [whole, delta].map { $0.sets.reduce(0) { $0 + $1.encodedByteCount } }
      #expect(bytes[1] < bytes[0])
      #expect(delta.sets.contains { $0.entries.contains { $0.kind == .delta } })
      #expect(delta.sets.contains { $0.entries.contains { $0.kind == .zeroDelta } })
      #expect(!whole.sets.contains { $0.entries.contains { $0.kind == .delta } })
    }
  }

  @Test("a set is refused where it does not go on, and nothing is changed")
  func refusals() throws {
    try withTemporaryDirectory { directory in
      let database = try WrittenDatabase("\(directory)/a.db", pageSize: PageSize(bytes: 1024)!, seed: 4, usesDeltas: true)
      while database.sets.count < 12 { try database.step() }
      let sets = database.sets
      var replica = database.beginning
      #expect(replica.apply(sets[0]) == nil)
      let before = replica
      func expect(_ refusal: PagesError?, _ matches: (PagesError) -> Bool, _ comment: Comment) {
        #expect(refusal.map(matches) == true, comment)
        #expect(replica == before)
      }
      expect(replica.apply(sets[0]), { if case .positionMismatch = $0 { true } else { false } }, "twice")
      expect(replica.apply(sets[2]), { if case .positionMismatch = $0 { true } else { false } }, "with a gap")
      // The right position, and one byte that is another than it was.
      replica.bytes[1500] ^= 1
      replica.sums = Image.sums(replica.bytes, replica.pageSize)
      let damaged = replica
      #expect(replica.apply(sets[1]).map { if case .stateMismatch = $0 { true } else { false } } == true)
      #expect(replica == damaged)
      // Its sums say that all is well, and its pages are not: where a delta meets other bytes, it shows.
      replica = before
      let delta = try #require(sets.dropFirst().firstIndex { set in set.entries.contains { $0.kind == .delta } })
      for set in sets[1..<delta] { #expect(replica.apply(set) == nil) }
      let entry = try #require(sets[delta].entries.first { $0.kind == .delta })
      for offset in 0..<replica.pageSize.bytes {
        replica.bytes[entry.page.byteOffset(pageSize: replica.pageSize) + offset] ^= 0xFF
      }
      #expect(replica.apply(sets[delta]).map { if case .resultMismatch = $0 { true } else { false } } == true)
      let other = Image(pageSize: PageSize(bytes: 2048)!, bytes: [])
      #expect(other.sums.refusal(of: sets[0], at: .zero) == .pageSizeMismatch(database: 2048, set: 1024))
      // And the compactor asks the same.
      var compactor = PageSetCompactor(sets[0])
      #expect(throws: PagesError.self) { try compactor.add(sets[2]) }
      #expect(try compactor.merged() == sets[0])
    }
  }

  @Test("a full state begins a database and replaces another; a resync repairs pages, and goes back to an earlier position")
  func resync() throws {
    try withTemporaryDirectory { directory in
      let database = try WrittenDatabase("\(directory)/a.db", pageSize: PageSize(bytes: 512)!, seed: 6, usesDeltas: true)
      while database.sets.count < 8 { try database.step() }
      let image = database.image
      func pages(_ numbers: [PageNumber], _ body: ([(number: PageNumber, bytes: UnsafeRawBufferPointer)]) throws -> PageSet)
        throws -> PageSet
      {
        try image.bytes.withUnsafeBytes { bytes in
          try body(
            numbers.map {
              let start = $0.byteOffset(pageSize: image.pageSize)
              return (number: $0, bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<start + 512]))
            })
        }
      }
      let full = try pages((1...UInt32(image.sums.pageCount)).map { PageNumber($0) }) {
        var nothing = PageSums(pageSize: image.pageSize)
        return try nothing.capture(
          pages: $0, pageCount: image.sums.pageCount, before: .zero, after: image.position, resync: true
        ) { (_, _) in false }.get()
      }
      #expect(full.header.isFullState)
      var empty = Image(pageSize: image.pageSize, bytes: [])
      #expect(empty.apply(full) == nil)
      #expect(empty == image)
      // In the middle of a chain it begins anew.
      var compactor = PageSetCompactor(database.sets[3])
      try compactor.add(full)
      #expect(try compactor.merged() == full)

      var ahead = image
      ahead.bytes[700] ^= 4
      ahead.bytes += [UInt8](repeating: 7, count: 1024)
      ahead.sums = Image.sums(ahead.bytes, ahead.pageSize)
      ahead.position.commitSequence += 5
      let differing = ahead.sums.differences(from: image.sums)
      #expect(differing.first == PageNumber(2) && differing.count == 3)
      let repair = try pages(differing.filter { $0.rawValue <= image.sums.pageCount }) {
        var sums = ahead.sums
        return try sums.capture(
          pages: $0, pageCount: image.sums.pageCount, before: ahead.position, after: image.position, resync: true
        ) { (_, _) in false }.get()
      }
      #expect(repair.entries.count == 1)
      #expect(ahead.apply(repair) == nil)
      #expect(ahead == image)
    }
  }
}
