import Glibc
import Model
import NIOCore
import Records
import TestSupport

/// A record, owned, as tests compare them.
struct OwnedRecord: Hashable {
  var offset: Int64 = 0
  var timestamp: Int64
  var key: [UInt8]?
  var value: [UInt8]?
  var headers: [OwnedHeader] = []
}

struct OwnedHeader: Hashable {
  var key: String
  var value: [UInt8]?
}

extension OwnedRecord {
  init(_ record: borrowing RecordView) {
    offset = record.offset.rawValue
    timestamp = record.timestamp
    key = record.key.map { [UInt8]($0) }
    value = record.value.map { [UInt8]($0) }
    headers = record.headers.map {
      OwnedHeader(key: String(decoding: $0.key, as: UTF8.self), value: $0.value.map { [UInt8]($0) })
    }
  }
}

extension SeededRandom {
  mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}

let now: Int64 = 1_700_000_000_000

func rules(_ change: (inout TopicConfiguration) -> Void = { _ in }) -> ValidationRules {
  var configuration = TopicConfiguration()
  change(&configuration)
  return ValidationRules(configuration: configuration, now: now)
}

func build(_ records: [OwnedRecord], _ compression: Compression = .none, _ change: (inout BatchBuilder) -> Void = { _ in })
  throws
  -> ByteBuffer
{
  var builder = BatchBuilder(compression: compression)
  change(&builder)
  for record in records {
    builder.append(
      key: record.key.map { ByteBuffer(bytes: $0) }, value: record.value.map { ByteBuffer(bytes: $0) },
      headers: record.headers.map { RecordHeader(key: $0.key, value: $0.value.map { ByteBuffer(bytes: $0) }) },
      timestamp: record.timestamp)
  }
  return try builder.build()
}

/// The batch with `change` made to its bytes and its CRC set right.
func altered(_ batch: ByteBuffer, _ change: (inout [UInt8]) -> Void) -> ByteBuffer {
  var bytes = [UInt8](batch.readableBytesView)
  change(&bytes)
  return resealed(bytes)
}

func resealed(_ bytes: [UInt8]) -> ByteBuffer {
  var buffer = ByteBuffer(bytes: bytes)
  if bytes.count > 21 { buffer.setInteger(slowCRC32C(bytes[21...]), at: 17) }
  return buffer
}

private func slowCRC32C(_ bytes: ArraySlice<UInt8>) -> UInt32 {
  var crc: UInt32 = ~0
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
  }
  return ~crc
}

func put<T: FixedWidthInteger>(_ value: T, in bytes: inout [UInt8], at index: Int) {
  withUnsafeBytes(of: value.bigEndian) { bytes.replaceSubrange(index..<index + $0.count, with: $0) }
}

func readAll(_ batch: ByteBuffer) throws -> [OwnedRecord] {
  var records: [OwnedRecord] = []
  let result = batch.withUnsafeReadableBytes { bytes in
    Result { () throws(RecordsError) in
      try forEachRecord(in: bytes, scratch: RecordScratch()) {
        records.append(OwnedRecord($0))
        return true
      }
    }
  }
  try result.get()
  return records
}

func header(_ batch: ByteBuffer) throws -> BatchHeader {
  let result = batch.withUnsafeReadableBytes { bytes in Result { () throws(RecordsError) in try BatchHeader(bytes) } }
  return try result.get()
}

/// Why the batch is refused; nil if it is taken.
func rejection(_ batch: ByteBuffer, _ rules: ValidationRules = rules()) -> BatchRejection? {
  do {
    _ = try BatchValidator.validate(batch, rules: rules)
    return nil
  } catch {
    return error
  }
}

func fixture(_ name: String) throws -> ByteBuffer {
  let directory = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
  let path = "\(directory)/Fixtures/records/\(name).batch"
  guard let file = fopen(path, "rb") else { throw MissingFixture(path: path) }
  defer { fclose(file) }
  var bytes = [UInt8](repeating: 0, count: 1 << 16)
  let count = fread(&bytes, 1, bytes.count, file)
  return ByteBuffer(bytes: bytes[..<count])
}

struct MissingFixture: Error { var path: String }
