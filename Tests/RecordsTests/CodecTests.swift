import Model
import NIOCore
import Records
import TestSupport
import Testing

@Suite("Batches of other clients, and every codec both ways")
struct CodecTests {
  static let golden: [OwnedRecord] = [
    OwnedRecord(offset: 0, timestamp: 1_700_000_000_000, key: Array("key-0".utf8), value: Array("value-0".utf8)),
    OwnedRecord(
      offset: 1, timestamp: 1_700_000_000_005, key: nil, value: Array("null key".utf8),
      headers: [OwnedHeader(key: "h", value: [0x31])]),
    OwnedRecord(
      offset: 2, timestamp: 1_699_999_999_997, key: [], value: [],
      headers: [OwnedHeader(key: "empty", value: []), OwnedHeader(key: "null", value: nil)]),
    OwnedRecord(offset: 3, timestamp: 1_700_000_000_100, key: Array("null value".utf8), value: nil),
    OwnedRecord(
      offset: 4, timestamp: 1_700_000_000_007, key: Array("schlüssel".utf8), value: Array(repeating: 0x78, count: 300),
      headers: [
        OwnedHeader(key: "dup", value: [0x61]), OwnedHeader(key: "dup", value: [0x62]),
        OwnedHeader(key: "ünï", value: Array(0...255)),
      ]),
  ]
  static let fixtures = [
    "kafka-python-none", "kafka-python-gzip", "kafka-python-snappy", "kafka-python-lz4", "kafka-python-zstd",
    "variant-gzip-two-members", "variant-snappy-block", "variant-snappy-two-streams",
    "variant-lz4-content-size-linked-blocks-checksums", "variant-lz4-no-content-size", "variant-lz4-two-frames",
    "variant-zstd-content-size", "variant-zstd-no-content-size", "variant-zstd-two-frames-level-19",
  ]

  @Test("what other clients encode is read record for record, and taken as it is", arguments: fixtures)
  func golden(name: String) throws {
    let batch = try fixture(name)
    #expect(try readAll(batch) == Self.golden)
    let (stored, batches) = try BatchValidator.validate(batch, rules: rules())
    #expect(stored == batch)
    #expect(batches.count == 1)
    let summary = try #require(batches.first)
    #expect(summary.minTimestamp == 1_699_999_999_997)
    #expect(summary.maxTimestamp == 1_700_000_000_100)
    #expect(summary.byteCount == batch.readableBytes)
    #expect(summary.decompressedBytes == (try fixture("kafka-python-none")).readableBytes - BatchHeader.byteCount)
  }

  @Test("our encoding of records without a codec is kafka-python's, byte for byte")
  func sameBytes() throws {
    #expect(try build(Self.golden) { $0.leaderEpoch = LeaderEpoch(0) } == fixture("kafka-python-none"))
  }

  @Test("header fields are where Kafka has them")
  func headerFields() throws {
    let header = try header(fixture("kafka-python-gzip"))
    #expect(header.compression == .gzip)
    #expect(header.producerID == 4711 && header.producerEpoch == 3)
    #expect(header.baseSequence == Int32.max - 1)
    #expect(header.lastSequence == 2)  // 2³¹-2, 2³¹-1, 0, 1, 2
    #expect(header.recordCount == 5 && header.lastOffset == 4 && header.nextOffset == 5)
    #expect(header.baseTimestamp == 1_700_000_000_000 && header.maxTimestamp == 1_700_000_000_100)
    #expect(header.timestampType == .createTime && !header.isTransactional && !header.isControl)
  }

  struct Size: CustomTestStringConvertible {
    var records: Int
    var valueBytes: Int
    var testDescription: String { "\(records) records of \(valueBytes) bytes" }
  }
  static let sizes = [
    Size(records: 1, valueBytes: 0), Size(records: 1, valueBytes: 1), Size(records: 10_000, valueBytes: 100),
    Size(records: 7, valueBytes: 65_536), Size(records: 3, valueBytes: 3 << 20),
  ]

  /// Half of the records are noise, half the same byte, so that frames are neither all literals nor tiny.
  static func record(_ i: Int, valueBytes: Int, noise: [UInt8]) -> OwnedRecord {
    var record = OwnedRecord(offset: Int64(i), timestamp: now - Int64(i % 50))
    if i % 3 != 0 { record.key = Array("k\(i)".utf8) }
    record.value = i % 2 == 0 ? noise : [UInt8](repeating: UInt8(truncatingIfNeeded: i), count: valueBytes)
    if i % 7 == 1 { record.headers = [OwnedHeader(key: "trace", value: [1, 2, 3])] }
    return record
  }

  @Test("records of every size come back from every codec", arguments: Compression.allCases, sizes)
  func roundTrip(codec: Compression, size: Size) throws {
    var random = SeededRandom(seed: 7)
    let noise = random.bytes(size.valueBytes)
    let records: [OwnedRecord] = (0..<size.records).map { Self.record($0, valueBytes: size.valueBytes, noise: noise) }
    let oldest = records.map { (record: OwnedRecord) in record.timestamp }.min()
    let batch = try build(records, codec)
    let (stored, batches) = try BatchValidator.validate(batch, rules: rules { $0.maxMessageBytes = .max })
    #expect(stored == batch)
    #expect(batches[0].maxTimestamp == now && batches[0].minTimestamp == oldest)
    #expect(try readAll(stored) == records)
    let cursor = BatchCursor()
    for load in 0..<2 {  // a cursor is used again, whichever way it was loaded
      if load == 0 { try cursor.load(batch) } else { try batch.withReadableBytes { try cursor.load(copying: $0) } }
      var count = 0
      while try cursor.next() {
        let record = OwnedRecord(cursor.record)
        #expect(record == records[count])
        count += 1
      }
      #expect(count == records.count)
    }
  }

  @Test(
    "a batch is stored with the topic's codec, its records unchanged", arguments: Compression.allCases, Compression.allCases)
  func transcodes(from source: Compression, to target: Compression) throws {
    let batch = try build(Self.golden, source) {
      $0.producerID = 9
      $0.producerEpoch = 1
      $0.baseSequence = 100
      $0.isTransactional = true
    }
    let policy: CompressionPolicy = target == .none ? .uncompressed : try #require(CompressionPolicy(rawValue: "\(target)"))
    let (stored, batches) = try BatchValidator.validate(batch, rules: rules { $0.compression = policy })
    if source == target { #expect(stored == batch) }
    let header = batches[0].header
    #expect(header.compression == target)
    #expect(header.producerID == 9 && header.producerEpoch == 1 && header.baseSequence == 100 && header.isTransactional)
    #expect(try readAll(stored) == Self.golden)
    #expect(rejection(stored) == nil)
    #expect(batches[0].byteCount == stored.readableBytes)
  }

  @Test("iteration stops when told to, and a cursor without a batch has no records")
  func stops() throws {
    let batch = try build(Self.golden, .zstd)
    var offsets: [Int64] = []
    try batch.withReadableBytes { bytes in
      try forEachRecord(in: bytes, scratch: RecordScratch()) {
        offsets.append($0.offset.rawValue)
        return offsets.count < 2
      }
    }
    #expect(offsets == [0, 1])
    let cursor = BatchCursor()
    #expect(try !cursor.next() && cursor.header == nil)
    #expect(throws: RecordsError.truncated(needed: 61, available: 3)) { try cursor.load(ByteBuffer(bytes: [1, 2, 3])) }
    try cursor.load(batch)
    #expect(try cursor.next() && cursor.offset == Offset(0))
    cursor.unload()
    #expect(try !cursor.next())
  }

  @Test("a batch that grows past max.message.bytes when it is stored is refused")
  func growsTooLarge() throws {
    let batch = try build([OwnedRecord(timestamp: now, key: nil, value: Array(repeating: 0, count: 10_000_000))], .zstd)
    #expect(rejection(batch, rules { $0.compression = .uncompressed })?.code == .messageTooLarge)
    #expect(rejection(batch) == nil)
  }
}

extension ByteBuffer {
  func withReadableBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try withUnsafeReadableBytes(body)
  }
}
