import Model
import NIOCore
import Records
import Testing

@Suite("What a producer may send")
struct BatchValidatorTests {
  static let three = (0..<3).map { OwnedRecord(offset: Int64($0), timestamp: now + Int64($0), key: [0x6B], value: [1, 2, 3]) }

  @Test("a good batch is stored as it was sent, in the same storage")
  func untouched() throws {
    let batch = try build(Self.three)
    let (stored, _) = try BatchValidator.validate(batch, rules: rules())
    #expect(stored == batch)
    let sent = batch.withUnsafeReadableBytes { $0.baseAddress }
    #expect(stored.withUnsafeReadableBytes { $0.baseAddress } == sent)
  }

  @Test("there is exactly one batch for a partition; one behind it that breaks off is cut off")
  func exactlyOne() throws {
    let batch = try build(Self.three)
    var two = batch
    two.writeImmutableBuffer(batch)
    #expect(rejection(ByteBuffer())?.code == .invalidRecord)
    #expect(rejection(two)?.code == .invalidRecord)
    for length in 1..<batch.readableBytes {
      let trailing = two.getSlice(at: 0, length: batch.readableBytes + length)!
      let (stored, batches) = try BatchValidator.validate(trailing, rules: rules())
      #expect(stored == batch && batches.map(\.byteCount) == [batch.readableBytes], "\(length) bytes behind it")
    }
    var garbage = batch
    garbage.writeBytes([UInt8](repeating: 0, count: 20))
    #expect(rejection(garbage)?.code == .corruptMessage)
  }

  @Test("a batch cut short at any length is refused")
  func truncated() throws {
    for codec in Compression.allCases {
      let batch = try build(Self.three, codec)
      for length in 0..<batch.readableBytes {
        #expect(rejection(batch.getSlice(at: 0, length: length)!) != nil, "\(codec), \(length) bytes")
        // The same with the length in the header and the CRC made right: the records are what is cut short.
        if length >= 61 {
          let cut = altered(batch) {
            $0.removeLast(batch.readableBytes - length)
            put(Int32(length - 12), in: &$0, at: 8)
          }
          #expect(rejection(cut)?.code == .invalidRecord, "\(codec), \(length) bytes")
        }
      }
    }
  }

  @Test("message formats 0 and 1 are INVALID_RECORD, unknown ones CORRUPT_MESSAGE", arguments: [0, 1, 3, -1] as [Int8])
  func magic(magic: Int8) throws {
    let batch = altered(try build(Self.three)) { $0[16] = UInt8(bitPattern: magic) }
    #expect(rejection(batch)?.code == (magic == 0 || magic == 1 ? .invalidRecord : .corruptMessage))
  }

  @Test("a flipped bit anywhere under the CRC is CORRUPT_MESSAGE")
  func checksum() throws {
    let batch = try build(Self.three)
    for index in [17, 20, 61, batch.readableBytes - 1] {
      var damaged = batch
      damaged.setInteger(batch.getInteger(at: index, as: UInt8.self)! ^ 0x10, at: index)
      #expect(rejection(damaged)?.code == .corruptMessage, "byte \(index)")
    }
    let short = altered(batch) { put(48 as Int32, in: &$0, at: 8) }
    #expect(rejection(short)?.code == .corruptMessage)
  }

  @Test("max.message.bytes counts the batch as sent, before anything is decompressed")
  func size() throws {
    let batch = try build(Self.three, .gzip)
    let fits = Int32(batch.readableBytes)
    #expect(rejection(batch, rules { $0.maxMessageBytes = fits }) == nil)
    #expect(rejection(batch, rules { $0.maxMessageBytes = fits - 1 })?.code == .messageTooLarge)
  }

  @Test("counts and offsets have to agree with each other and with the records", arguments: Compression.allCases)
  func counts(codec: Compression) throws {
    let batch = try build(Self.three, codec)
    let alterations: [(inout [UInt8]) -> Void] = [
      { put(0 as Int32, in: &$0, at: 57) },  // record count
      { put(-1 as Int32, in: &$0, at: 57) },
      { put(2 as Int32, in: &$0, at: 57) },
      { put(3 as Int32, in: &$0, at: 23) },  // last offset delta
      { put(Int32.max, in: &$0, at: 23) },
      {
        put(2 as Int32, in: &$0, at: 57)
        put(1 as Int32, in: &$0, at: 23)
      },
      {
        put(4 as Int32, in: &$0, at: 57)
        put(3 as Int32, in: &$0, at: 23)
      },
      {
        put(Int32.max, in: &$0, at: 57)
        put(Int32.max - 1, in: &$0, at: 23)
      },
      { put(1 as Int64, in: &$0, at: 0) },  // base offset
    ]
    for (number, alteration) in alterations.enumerated() {
      #expect(rejection(altered(batch, alteration))?.code == .invalidRecord, "alteration \(number)")
    }
  }

  /// One batch around a records section that is given byte for byte.
  static func batch(section: [UInt8], count: Int32) throws -> ByteBuffer {
    altered(try build([OwnedRecord(timestamp: now)])) {
      $0.replaceSubrange(61..., with: section)
      put(Int32($0.count - 12), in: &$0, at: 8)
      put(count - 1, in: &$0, at: 23)
      put(count, in: &$0, at: 57)
    }
  }

  static let malformed: [(String, [UInt8])] = [
    ("length too small", [10, 0, 0, 0, 1, 1]),
    ("negative length", [1, 0, 0, 0, 1, 1, 0]),
    ("length beyond the bytes", [16, 0, 0, 0, 1, 1, 0]),
    ("length short of the fields", [12, 0, 0, 0, 1, 1, 2, 0]),
    ("a byte behind the fields", [14, 0, 0, 0, 1, 1, 0, 0]),
    ("key beyond the record", [12, 0, 0, 0, 20, 1, 0]),
    ("value beyond the record", [12, 0, 0, 0, 1, 20, 0]),
    ("key length -2", [12, 0, 0, 0, 3, 1, 0]),
    ("more headers than bytes", [12, 0, 0, 0, 1, 1, 100]),
    ("negative header count", [12, 0, 0, 0, 1, 1, 1]),
    ("null header key", [16, 0, 0, 0, 1, 1, 2, 1, 1]),
    ("header value beyond the record", [16, 0, 0, 0, 1, 1, 2, 0, 4]),
    ("first offset delta not 0", [12, 0, 0, 2, 1, 1, 0]),
    ("timestamp varint of 11 bytes", [32] + [0] + Array(repeating: 0xFF, count: 10) + [1, 0, 1, 1, 0]),
    ("length varint of 6 bytes", [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
    ("offset varint above 32 bits", [20, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x70, 1, 1, 0]),
  ]

  @Test("a record that is laid out wrongly is INVALID_RECORD", arguments: malformed.map(\.0))
  func malformedRecord(name: String) throws {
    let section = try #require(Self.malformed.first { $0.0 == name }).1
    let batch = try Self.batch(section: section, count: 1)
    #expect(rejection(batch)?.code == .invalidRecord)
    if name != "first offset delta not 0" { #expect(throws: RecordsError.self) { try readAll(batch) } }
    // Compressed, the same through the window; and large, so that it is passed over in pieces.
    for codec in Compression.allCases where codec != .none {
      #expect(rejection(try Self.reencoded(batch, codec))?.code == .invalidRecord, "\(codec)")
    }
  }

  /// The batch with its section compressed, whatever that holds.
  static func reencoded(_ batch: ByteBuffer, _ codec: Compression) throws -> ByteBuffer {
    let section = batch.getSlice(at: 61, length: batch.readableBytes - 61)!
    return try compressed(section: section, like: batch, codec)
  }

  @Test("the smallest record there is, and offsets that skip or repeat")
  func smallest() throws {
    #expect(rejection(try Self.batch(section: [12, 0, 0, 0, 1, 1, 0], count: 1)) == nil)
    #expect(rejection(try Self.batch(section: [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 2, 1, 1, 0], count: 2)) == nil)
    let skips = try Self.batch(section: [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 4, 1, 1, 0], count: 2)
    let repeats = try Self.batch(section: [12, 0, 0, 0, 1, 1, 0, 12, 0, 0, 0, 1, 1, 0], count: 2)
    #expect(rejection(skips)?.code == .invalidRecord)
    #expect(rejection(repeats)?.code == .invalidRecord)
  }

  @Test("clients cannot write control batches")
  func control() throws {
    let marker = try BatchBuilder.endTransaction(
      .commit, producerID: 1, producerEpoch: 0, coordinatorEpoch: 5, timestamp: now
    ).build()
    #expect(try header(marker).isControl)
    #expect(rejection(marker)?.code == .invalidRecord)
    let keys = try readAll(marker).map { $0.key ?? [] }
    #expect(keys == [[0, 0, 0, 1]])
    #expect(keys[0].withUnsafeBytes { ControlRecord(key: $0) } == .commit)
    #expect([0, 0, 0, 0].withUnsafeBytes { ControlRecord(key: $0) } != nil)
    #expect([UInt8]([0, 0, 0]).withUnsafeBytes { ControlRecord(key: $0) } == nil)
  }

  @Test("a producer id needs a sequence and an epoch")
  func producerFields() throws {
    #expect(rejection(try build(Self.three) { $0.producerID = 1 })?.code == .invalidRecord)
    let withoutEpoch = try build(Self.three) {
      $0.producerID = 1
      $0.baseSequence = 0
    }
    #expect(rejection(withoutEpoch)?.code == .invalidRecord)
  }

  @Test("an unknown codec is UNSUPPORTED_COMPRESSION_TYPE, bytes that are not the codec's INVALID_RECORD")
  func codecs() throws {
    let batch = try build(Self.three)
    #expect(rejection(altered(batch) { $0[22] = 5 })?.code == .unsupportedCompressionType)
    for codec in Compression.allCases where codec != .none {
      #expect(rejection(altered(batch) { $0[22] = UInt8(codec.rawValue) })?.code == .invalidRecord, "\(codec)")
      let trailing = altered(try build(Self.three, codec)) {
        $0.append(0x55)
        put(Int32($0.count - 12), in: &$0, at: 8)
      }
      #expect(rejection(trailing)?.code == .invalidRecord, "\(codec) with a byte behind its frame")
    }
  }

  @Test("records outside the time range are listed with INVALID_TIMESTAMP", arguments: Compression.allCases)
  func timestamps(codec: Compression) throws {
    let records = [0, 3_600_000, 3_600_001, -1000, -1001, .max - now, -1 - now].map { OwnedRecord(timestamp: now + $0) }
    let batch = try build(records, codec)
    let refused = try #require(rejection(batch, rules { $0.timestampBeforeMaxMilliseconds = 1000 }))
    #expect(refused.code == .invalidTimestamp)
    #expect(refused.recordErrors.map(\.batchIndex) == [2, 4, 5])
    #expect(rejection(batch)?.recordErrors.map(\.batchIndex) == [2, 5])
    let unbounded = rules {
      $0.timestampBeforeMaxMilliseconds = .max
      $0.timestampAfterMaxMilliseconds = .max
    }
    #expect(rejection(batch, unbounded) == nil)
    #expect(rejection(batch, rules { $0.timestampType = .logAppendTime }) == nil)
  }

  @Test("thousands of bad records are listed only as far as an answer should be long")
  func manyBadRecords() throws {
    let batch = try build(Array(repeating: OwnedRecord(timestamp: .max), count: 5000))
    #expect(try #require(rejection(batch)).recordErrors.count == 100)
  }

  @Test("records without a timestamp pass any range, and where keys are needed a null key is listed")
  func noTimestampNoKey() throws {
    let batch = try build([OwnedRecord(timestamp: -1, key: []), OwnedRecord(timestamp: now, key: nil)])
    var strict = rules { $0.timestampBeforeMaxMilliseconds = 0 }
    #expect(rejection(batch, strict) == nil)
    strict.requiresKeys = true
    let refused = try #require(rejection(batch, strict))
    #expect(refused.code == .invalidRecord)
    #expect(refused.recordErrors.map(\.batchIndex) == [1])
  }

  @Test("a producer cannot claim LogAppendTime")
  func claimsLogAppendTime() throws {
    let batch = try build(Self.three) { $0.timestampType = .logAppendTime }
    #expect(rejection(batch)?.code == .invalidTimestamp)
  }

  @Test("the header's maximum timestamp is set to that of the records, in a copy", arguments: Compression.allCases)
  func maxTimestamp(codec: Compression) throws {
    let batch = altered(try build(Self.three, codec)) { put(now - 5, in: &$0, at: 35) }
    let before = batch
    let (stored, batches) = try BatchValidator.validate(batch, rules: rules())
    #expect(batch == before && stored != batch)
    #expect(try header(stored).maxTimestamp == now + 2)
    #expect(batches[0].header == (try header(stored)))
    #expect(rejection(stored) == nil)
    #expect(try readAll(stored) == Self.three)
  }

  @Test("LogAppendTime stamps the batch, and overrides what its records say", arguments: Compression.allCases)
  func logAppendTime(codec: Compression) throws {
    // A slice whose bytes do not begin where its storage does, as in a request frame.
    var frame = ByteBuffer(string: "frame")
    frame.writeImmutableBuffer(try build(Self.three, codec))
    let batch = frame.getSlice(at: 5, length: frame.readableBytes - 5)!
    let (stored, batches) = try BatchValidator.validate(batch, rules: rules { $0.timestampType = .logAppendTime })
    #expect(batches[0].minTimestamp == now && batches[0].maxTimestamp == now)
    #expect(batches[0].header.timestampType == .logAppendTime && batches[0].header.maxTimestamp == now)
    #expect(try readAll(stored).map(\.timestamp) == [now, now, now])
    #expect(try readAll(stored).map(\.value) == Self.three.map(\.value))
    try stored.withReadableBytes { bytes in try BatchHeader(bytes).verifyChecksum(of: bytes) }
  }

  @Test("setting base offset and leader epoch leaves the CRC right")
  func patch() throws {
    var batch = try build(Self.three)
    batch.withUnsafeMutableReadableBytes {
      BatchPatch.setBase(offset: Offset(1 << 40), leaderEpoch: LeaderEpoch(77), in: $0.baseAddress!)
    }
    let header = try header(batch)
    #expect(header.baseOffset == 1 << 40 && header.partitionLeaderEpoch == 77 && header.lastOffset == 1 << 40 + 2)
    try batch.withReadableBytes { try header.verifyChecksum(of: $0) }
    #expect(try readAll(batch).map(\.offset) == [1 << 40, 1 << 40 + 1, 1 << 40 + 2])
  }

  @Test("sequence numbers go from 2³¹-1 to 0")
  func sequences() {
    #expect(ProducerSequence.advance(Int32.max, by: 1) == 0)
    #expect(ProducerSequence.advance(Int32.max - 1, by: 1) == Int32.max)
    #expect(ProducerSequence.advance(Int32.max, by: Int32.max) == Int32.max - 1)
    #expect(ProducerSequence.advance(0, by: 0) == 0)
  }
}
