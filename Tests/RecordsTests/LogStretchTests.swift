import Model
import NIOCore
import Records
import Testing

@Suite("Stretches of another log") struct LogStretchTests {
  private func batch(
    _ offset: Int64, _ values: [String], _ compression: Compression = .none, _ change: (inout BatchBuilder) -> Void = { _ in }
  ) throws -> ByteBuffer {
    try build(
      values.enumerated().map { OwnedRecord(timestamp: now + Int64($0.offset), key: nil, value: [UInt8]($0.element.utf8)) },
      compression
    ) {
      $0.baseOffset = Offset(offset)
      change(&$0)
    }
  }

  private func transactional(_ offset: Int64, _ producer: Int64, _ values: [String]) throws -> ByteBuffer {
    try batch(offset, values, .lz4) {
      $0.isTransactional = true
      $0.producerID = producer
      $0.producerEpoch = 3
      $0.baseSequence = 0
    }
  }

  private func marker(_ offset: Int64, _ producer: Int64, _ outcome: ControlRecord) throws -> ByteBuffer {
    var builder = BatchBuilder.endTransaction(
      outcome, producerID: producer, producerEpoch: 3, coordinatorEpoch: 0, timestamp: now)
    builder.baseOffset = Offset(offset)
    return try builder.build()
  }

  private func joined(_ parts: ByteBuffer...) -> ByteBuffer {
    var all = ByteBuffer()
    for part in parts { all.writeImmutableBuffer(part) }
    return all
  }

  private func records(_ buffer: ByteBuffer) throws -> [Int64: String] {
    var found: [Int64: String] = [:]
    for summary in try LogStretch.validate(buffer) {
      try buffer.getSlice(at: summary.position, length: summary.byteCount)!.withUnsafeReadableBytes { bytes in
        try forEachRecord(in: bytes, scratch: RecordScratch()) { record in
          found[record.offset.rawValue] = String(decoding: record.value!, as: UTF8.self)
          return true
        }
      }
    }
    return found
  }

  @Test("what all batches together decompress to is bounded, however many they are")
  func decompressed() throws {
    let value = String(repeating: "x", count: 10_000)
    var stretch = ByteBuffer()
    for offset in 0..<10 {
      stretch.writeImmutableBuffer(try batch(Int64(offset), [value], offset % 2 == 0 ? .zstd : .snappy))
    }
    #expect(try LogStretch.validate(stretch, decompressedBytesMax: 110_000).count == 10)
    #expect(throws: BatchRejection.self) { try LogStretch.validate(stretch, decompressedBytesMax: 95_000) }
    let plain = try batch(0, [value])
    #expect(try LogStretch.validate(plain, decompressedBytesMax: 100).count == 1)
  }

  @Test("batches keep their bytes, but for offset and epoch")
  func keepsBytes() throws {
    let one = try batch(5, ["a", "b"], .zstd) {
      $0.producerID = 7; $0.producerEpoch = 0; $0.baseSequence = 4
    }
    let two = try batch(7, ["c"], .gzip)
    let stretch = try CommittedStretch(of: joined(one, two), from: 5)
    #expect(stretch.batches == joined(one, two))
    #expect((stretch.firstOffset, stretch.nextOffset, stretch.recordCount) == (5, 8, 3))
    let shifted = try CommittedStretch(of: joined(one, two), from: 5, shift: 100)
    #expect(try records(shifted.batches) == [105: "a", 106: "b", 107: "c"])
    #expect(
      shifted.batches.getBytes(at: 8, length: one.readableBytes - 8) == one.getBytes(at: 8, length: one.readableBytes - 8))
  }

  @Test("committed transactions lose their mark; aborted ones, markers and gaps become batches without records")
  func transactions() throws {
    let fetched = joined(
      try transactional(0, 1, ["yes", "yes"]), try transactional(2, 2, ["no"]), try batch(3, ["plain"]),
      try transactional(4, 2, ["no"]), try marker(5, 1, .commit), try marker(6, 2, .abort), try transactional(7, 2, ["yes"]),
      try marker(8, 2, .commit), try batch(20, ["behind a gap"]))
    let aborted = [CommittedStretch.AbortedTransaction(producerID: 2, firstOffset: 2)]
    let stretch = try CommittedStretch(of: fetched, from: 0, aborted: aborted)
    #expect(stretch.nextOffset == 21)
    #expect(try records(stretch.batches) == [0: "yes", 1: "yes", 3: "plain", 7: "yes", 20: "behind a gap"])
    let summaries = try LogStretch.validate(stretch.batches)
    #expect(summaries.map(\.header.baseOffset) == [0, 2, 3, 4, 7, 8, 20])
    #expect(summaries.allSatisfy { !$0.header.isTransactional })
    #expect(summaries.allSatisfy { $0.header.recordCount > 0 || $0.minTimestamp > $0.maxTimestamp })
    #expect(!summaries[0].header.hasProducerID)
  }

  @Test("a marker at the end moves the end; a batch cut off does not")
  func ends() throws {
    let marked = joined(try transactional(0, 1, ["a"]), try marker(1, 1, .commit))
    #expect(try CommittedStretch(of: marked, from: 0).nextOffset == 2)
    var cut = joined(try batch(0, ["a"]), try batch(1, ["b"]))
    cut.moveWriterIndex(to: cut.writerIndex - 1)
    #expect(try CommittedStretch(of: cut, from: 0).nextOffset == 1)
    #expect(try CommittedStretch(of: ByteBuffer(), from: 9).nextOffset == 9)
  }

  @Test("a batch that reaches over the beginning is another history, unless the log begins with it")
  func beginnings() throws {
    let fetched = try batch(3, ["a", "b", "c"])
    #expect(throws: CommittedStretch.Failure.overlap(baseOffset: 3)) { try CommittedStretch(of: fetched, from: 4) }
    let first = try CommittedStretch(of: fetched, from: 4, mayBeginEarlier: true)
    #expect((first.firstOffset, first.nextOffset) == (3, 6))
    #expect(try CommittedStretch(of: fetched, from: 6).batches.readableBytes == 0)
  }

  @Test("a batch at an offset that no log can have there is refused, and costs nothing")
  func distance() throws {
    let far = joined(try batch(0, ["a"]), try batch(CommittedStretch.gapMax + 2, ["b"]))
    #expect(throws: CommittedStretch.Failure.distance(baseOffset: CommittedStretch.gapMax + 2)) {
      try CommittedStretch(of: far, from: 0)
    }
    let near = joined(try batch(0, ["a"]), try batch(CommittedStretch.gapMax, ["b"]))
    #expect(try CommittedStretch(of: near, from: 0).nextOffset == CommittedStretch.gapMax + 1)
    #expect(CommittedStretch(gap: 0..<(1 << 59), shift: 0).nextOffset == CommittedStretch.gapMax)
  }

  @Test("a gap longer than a batch can say becomes several batches")
  func longGaps() throws {
    let gap = CommittedStretch(gap: 10..<(5 << 31), shift: -10)
    let summaries = try LogStretch.validate(gap.batches)
    #expect(summaries.count == 5)
    #expect(summaries.first?.header.baseOffset == 0 && summaries.last?.header.nextOffset == 5 << 31 - 10)
  }

  @Test("what is stored is refused with a gap, a marker, a wrong CRC, too many records or impossible offsets")
  func refusals() throws {
    func refused(_ buffer: ByteBuffer) -> Bool { (try? LogStretch.validate(buffer)) == nil }
    let good = try batch(0, ["a"])
    #expect(!refused(good))
    #expect(refused(joined(good, try batch(2, ["b"]))))
    #expect(refused(try marker(0, 1, .commit)))
    #expect(refused(try transactional(0, 1, ["a"])))
    for (position, value) in [(40, 1), (0, 255), (23, 255), (60, 2), (11, 200)] {
      var bad = good
      bad.setInteger(UInt8(value), at: position)
      #expect(refused(bad), "byte \(position)")
    }
  }
}
