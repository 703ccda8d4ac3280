import Model
import Pages
import TestSupport
import Testing

@Suite("Page sets as bytes") struct PageSetTests {
  /// Two pages of 512 bytes, and a commit that changes three bytes of the first and adds a third; written by another program, in Python,
  /// with a hash function of its own.
  private static let golden = bytes(
    [
      "5150475301020000000002000000000200000003000000020000000700000000",
      "000010000000000000000029000000080000000000001000000000000000002a",
      "3a31a017e0da63b02d0b6794e13198b90000000000001388000000000000138b",
      "000000000000002560d11f542b9fded14e749d24ab2c977f0000000101000000",
      "090a03aa0bbb9f0201cc00000003020000000a00010dfb03047461696c",
    ].joined())

  private static func bytes(_ text: String) -> [UInt8] {
    let digits = text.utf8.map { UInt8($0 > 0x39 ? $0 - 0x57 : $0 - 0x30) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  private static func decode(_ bytes: [UInt8], payloadBytesMax: Int = 1 << 20) throws(PagesError) -> PageSet? {
    var decoder = PageSetDecoder(payloadBytesMax: payloadBytesMax)
    bytes.withUnsafeBytes { decoder.append($0) }
    return try decoder.next()
  }

  private static let first = (0..<512).map { UInt8($0 % 251) }
  private static let third = [13] + [UInt8](repeating: 0, count: 507) + Array("tail".utf8)

  private static func captured(_ sums: inout PageSums) throws -> PageSet {
    var changed = first
    changed[10] = 0xAA
    changed[12] = 0xBB
    changed[300] = 0xCC
    return try changed.withUnsafeBytes { one in
      try third.withUnsafeBytes { three in
        try sums.capture(
          pages: [(PageNumber(3), three), (PageNumber(1), one)], pageCount: 3,
          before: try #require(CommitPosition("7/4096/41")), after: try #require(CommitPosition("8/4096/42")),
          events: Offset(5000)..<Offset(5003)
        ) { number, room in
          #expect(number == .first, "a page that was not there has no version before")
          room.copyBytes(from: first)
          return true
        }.get()
      }
    }
  }

  @Test("are those that another program writes, and are read as they were meant")
  func goldenBytes() throws {
    var image = Image(
      pageSize: PageSize(bytes: 512)!, bytes: Self.first + [UInt8](repeating: 0, count: 512),
      position: try #require(CommitPosition("7/4096/41")))
    var sums = image.sums
    var written: [UInt8] = []
    try Self.captured(&sums).encode(into: &written)
    #expect(written == Self.golden)
    let set = try #require(try Self.decode(Self.golden))
    #expect(set.entries.map(\.page.rawValue) == [1, 3] && set.entries.map(\.kind) == [.delta, .zeroDelta])
    #expect(image.apply(set) == nil)
    #expect(image.sums == sums && image.position.description == "8/4096/42")
    #expect(Array(image.page(PageNumber(3))) == Self.third && image.bytes[300] == 0xCC && image.bytes[11] == 11)
    // The same sum, counted here from nothing.
    #expect(Image.sums(image.bytes, image.pageSize) == sums)
    #expect(DatabaseSum(sums.total.description) == sums.total)
  }

  @Test("with any bit that is another are refused, and so is what follows")
  func flippedBits() throws {
    for bit in 0..<Self.golden.count * 8 {
      var damaged = Self.golden
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      var decoder = PageSetDecoder()
      damaged.withUnsafeBytes { decoder.append($0) }
      let error = try #require(#expect(throws: PagesError.self, "bit \(bit)") { try decoder.next() })
      Self.golden.withUnsafeBytes { decoder.append($0) }
      #expect(throws: error) { try decoder.next() }
    }
  }

  @Test("come in pieces of any size, one behind the other")
  func drip() throws {
    let stream = Self.golden + Self.golden
    for size in [1, 2, 119, 120, 121, 148, 149, 200] {
      var decoder = PageSetDecoder()
      var found = 0
      for start in stride(from: 0, to: stream.count, by: size) {
        let piece = Array(stream[start..<min(start + size, stream.count)])
        piece.withUnsafeBytes { decoder.append($0) }
        while try decoder.next() != nil { found += 1 }
      }
      #expect(found == 2 && decoder.isBetweenSets)
    }
    var decoder = PageSetDecoder()
    Self.golden[..<130].withUnsafeBytes { decoder.append($0) }
    #expect(try decoder.next() == nil)
    #expect(decoder.coming?.after.commitSequence == 42 && !decoder.isBetweenSets)
  }

  @Test("that promise what cannot be are refused by their header alone")
  func impossible() throws {
    var sums = Image(pageSize: PageSize(bytes: 512)!, bytes: Self.first + [UInt8](repeating: 0, count: 512)).sums
    let set = try Self.captured(&sums)
    #expect(throws: PagesError.tooLarge(bytes: 37, limit: 36)) { try Self.decode(Self.golden, payloadBytesMax: 36) }
    func capture(_ numbers: [UInt32], of pageCount: Int, onto before: PageSums, from: String, to: String) -> Result<
      PageSet, PagesError
    >? {
      var sums = before
      guard let from = CommitPosition(from), let to = CommitPosition(to) else { return nil }
      let result = Self.first.withUnsafeBytes { page in
        sums.capture(pages: numbers.map { (PageNumber($0), page) }, pageCount: pageCount, before: from, after: to) { (_, _) in
          false
        }
      }
      if case .failure = result { #expect(sums == before) }
      return result
    }
    func isImpossible(_ result: Result<PageSet, PagesError>?) -> Bool {
      if case .failure(.impossible) = result { true } else { false }
    }
    #expect(!isImpossible(capture([4], of: 4, onto: sums, from: "1/0/1", to: "1/0/2")))
    #expect(isImpossible(capture([5], of: 5, onto: sums, from: "1/0/1", to: "1/0/2")), "it grew by a page that is missing")
    #expect(isImpossible(capture([1], of: 0, onto: sums, from: "1/0/1", to: "1/0/2")))
    for to in ["1/0/1", "0/0/2", "1/1/2"] {
      #expect(isImpossible(capture([1], of: 3, onto: sums, from: "1/0/1", to: to)), "\(to)")
    }
    #expect(set.header.events == Offset(5000)..<Offset(5003))
  }
}
