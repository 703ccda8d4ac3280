internal import Model

/// Records between a node and its command line: what an HTTP export of the format `records` consists of.
///
/// The stream is frames, each behind its count of bytes. All integers are little-endian.
///
/// | frame  | bytes |
/// |--------|-------|
/// | field  | `6`, a declared column as JSON, as `ExportField` has it: all of these come first |
/// | part   | `1`, partition (4), first offset (8), offset behind the last (8), topic: all of these come next |
/// | begin  | `2`: there are no more parts |
/// | record | `3`, flags (1), offset (8), timestamp (8), count of the key (4), of the value (4), headers (4), bytes of the declared columns (4), key, value, those, headers |
/// | end    | `4`: every record of the part has come; those of the next follow |
/// | finish | `5`: every part has come |
///
/// Flags: 1 LogAppendTime, 2 key is not null, 4 value is not null. Headers as `EncodedHeaders` has them, values of
/// declared columns as `EncodedValues`.
enum RecordFrame {
  static let part: UInt8 = 1
  static let begin: UInt8 = 2
  static let record: UInt8 = 3
  static let end: UInt8 = 4
  static let finish: UInt8 = 5
  static let field: UInt8 = 6
  static let recordHead = 34

  /// Appends a record's frame, its count in front.
  static func append(_ record: ExportRecord, to out: inout [UInt8]) {
    let key = record.key?.count ?? 0
    let value = record.value?.count ?? 0
    out.appendLittleEndian(UInt32(recordHead + key + value + record.values.bytes.count + record.headers.bytes.count))
    out.append(self.record)
    out.append(
      (record.timestampType == .logAppendTime ? 1 : 0) | (record.key == nil ? 0 : 2) | (record.value == nil ? 0 : 4))
    out.appendLittleEndian(record.offset)
    out.appendLittleEndian(record.timestamp)
    out.appendLittleEndian(UInt32(key))
    out.appendLittleEndian(UInt32(value))
    out.appendLittleEndian(UInt32(record.headers.count))
    out.appendLittleEndian(UInt32(record.values.bytes.count))
    if let key = record.key { out.append(contentsOf: key) }
    if let value = record.value { out.append(contentsOf: value) }
    out.append(contentsOf: record.values.bytes)
    out.append(contentsOf: record.headers.bytes)
  }

  /// The record of a frame, which begins behind the count.
  ///
  /// - Throws: what is wrong with it.
  static func read(
    _ frame: UnsafeRawBufferPointer, of part: ExportPart, fieldCount: Int
  ) throws(MalformedFrame) -> ExportRecord {
    guard frame.count >= recordHead else { throw MalformedFrame(what: "half a record") }
    func integer(_ at: Int) -> Int { Int(UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: at, as: UInt32.self))) }
    func long(_ at: Int) -> Int64 { Int64(littleEndian: frame.loadUnaligned(fromByteOffset: at, as: Int64.self)) }
    let flags = frame[1]
    let keyEnd = recordHead + integer(18)
    let valueEnd = keyEnd + integer(22)
    let columnsEnd = valueEnd + integer(30)
    guard columnsEnd <= frame.count else { throw MalformedFrame(what: "half a record") }
    let key = UnsafeRawBufferPointer(rebasing: frame[recordHead..<keyEnd])
    let value = UnsafeRawBufferPointer(rebasing: frame[keyEnd..<valueEnd])
    guard
      let values = EncodedValues(checking: UnsafeRawBufferPointer(rebasing: frame[valueEnd..<columnsEnd]), count: fieldCount)
    else { throw MalformedFrame(what: "values that are not those of its columns") }
    guard
      let headers = EncodedHeaders(checking: UnsafeRawBufferPointer(rebasing: frame[columnsEnd...]), count: integer(26))
    else { throw MalformedFrame(what: "headers that are none") }
    return ExportRecord(
      part: part, offset: long(2), timestamp: long(10), timestampType: flags & 1 == 0 ? .createTime : .logAppendTime,
      key: flags & 2 == 0 ? nil : key, value: flags & 4 == 0 ? nil : value, headers: headers, values: values)
  }
}

struct MalformedFrame: Error {
  var what: String
}

/// Records of one part, kept for later as the frames that they have on a connection.
struct RecordBuffer: Sendable {
  let part: ExportPart
  private let fieldCount: Int
  private(set) var bytes: [UInt8] = []

  init(part: ExportPart, fieldCount: Int) {
    self.part = part
    self.fieldCount = fieldCount
  }

  mutating func append(_ record: ExportRecord) { RecordFrame.append(record, to: &bytes) }

  func forEachRecord<Failure: Error>(_ body: (ExportRecord) throws(Failure) -> Void) throws(Failure) {
    try bytes.withRawBytes { (bytes) throws(Failure) in
      var at = 0
      while at < bytes.count {
        let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        let frame = UnsafeRawBufferPointer(rebasing: bytes[at + 4..<at + 4 + count])
        at += 4 + count
        let record: ExportRecord
        do throws(MalformedFrame) { record = try RecordFrame.read(frame, of: part, fieldCount: fieldCount) } catch {
          preconditionFailure("a frame that was written has \(error.what)")
        }
        try body(record)
      }
    }
  }
}

/// Writes records as frames, in chunks.
public final class RecordFrameWriter: RecordSink {
  private let output: ChunkedOutput

  public init(sink: @escaping ([UInt8]) throws(ExportError) -> Void) { output = ChunkedOutput(sink) }

  public func begin(_ parts: [ExportPart], _ fields: [ExportField]) throws(ExportError) {
    for field in fields {
      var text: [UInt8] = []
      field.json.write(to: &text)
      output.bytes.appendLittleEndian(UInt32(1 + text.count))
      output.bytes.append(RecordFrame.field)
      output.bytes.append(contentsOf: text)
    }
    for part in parts {
      output.bytes.appendLittleEndian(UInt32(21 + part.topic.utf8.count))
      output.bytes.append(RecordFrame.part)
      output.bytes.appendLittleEndian(part.partition)
      output.bytes.appendLittleEndian(part.offsets.lowerBound)
      output.bytes.appendLittleEndian(part.offsets.upperBound)
      output.bytes.append(contentsOf: part.topic.utf8)
    }
    mark(RecordFrame.begin)
  }

  public func take(_ record: ExportRecord) throws(ExportError) {
    RecordFrame.append(record, to: &output.bytes)
    try output.handOnIfFull()
  }

  public func end(_ part: ExportPart) throws(ExportError) { mark(RecordFrame.end) }

  public func finish() throws(ExportError) {
    mark(RecordFrame.finish)
    try output.handOn()
  }

  private func mark(_ kind: UInt8) {
    output.bytes.appendLittleEndian(1 as UInt32)
    output.bytes.append(kind)
  }
}

/// Hands the records of a stream of frames, which comes in pieces, to a sink.
public final class RecordFrameReader {
  /// Above the largest batch that a topic can be set to take, decompressed.
  private static let frameBytesMax = 1 << 30

  private let sink: any RecordSink
  /// The beginning of a frame that is not whole yet.
  private var rest: [UInt8] = []
  private var parts: [ExportPart] = []
  private var fields: [ExportField] = []
  private var current = 0
  private var hasBegun = false
  /// The stream has said that it is complete.
  public private(set) var isFinished = false

  public init(_ sink: any RecordSink) { self.sink = sink }

  public func append(_ piece: UnsafeRawBufferPointer) throws(ExportError) {
    if rest.isEmpty {
      let used = try takeFrames(piece)
      rest.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece[used...]))
    } else {
      rest.append(contentsOf: piece)
      // A frame that is far from whole is not looked at again for every piece of it.
      if rest.count < Self.wanted(rest) { return }
      var used = 0
      var failure: ExportError?
      rest.withUnsafeBytes { bytes in
        do throws(ExportError) { used = try takeFrames(bytes) } catch { failure = error }
      }
      if let failure { throw failure }
      rest.removeFirst(used)
    }
  }

  private static func wanted(_ bytes: [UInt8]) -> Int {
    guard bytes.count >= 4 else { return 4 }
    return 4 + Int(bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)) })
  }

  /// - Returns: bytes of whole frames.
  private func takeFrames(_ bytes: UnsafeRawBufferPointer) throws(ExportError) -> Int {
    var at = 0
    while bytes.count - at >= 4 {
      let count = Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
      if count > Self.frameBytesMax || count == 0 { throw Self.malformed("a frame of \(count) bytes") }
      if bytes.count - at - 4 < count { break }
      try take(UnsafeRawBufferPointer(rebasing: bytes[at + 4..<at + 4 + count]))
      at += 4 + count
    }
    return at
  }

  private func take(_ frame: UnsafeRawBufferPointer) throws(ExportError) {
    if isFinished { throw Self.malformed("more behind its end") }
    switch frame[0] {
    case RecordFrame.field:
      guard parts.isEmpty, !hasBegun, let json = try? JSONReader.read(UnsafeRawBufferPointer(rebasing: frame[1...])),
        let field = ExportField(json)
      else { throw Self.malformed("a column that is none") }
      fields.append(field)
    case RecordFrame.part:
      guard frame.count >= 21, !hasBegun else { throw Self.malformed("a part at the wrong place") }
      let first = Int64(littleEndian: frame.loadUnaligned(fromByteOffset: 5, as: Int64.self))
      let behind = Int64(littleEndian: frame.loadUnaligned(fromByteOffset: 13, as: Int64.self))
      guard first <= behind, let topic = String(validating: frame[21...], as: UTF8.self) else {
        throw Self.malformed("a part that is none")
      }
      let partition = Int32(littleEndian: frame.loadUnaligned(fromByteOffset: 1, as: Int32.self))
      parts.append(ExportPart(topic: topic, partition: partition, offsets: first..<behind))
    case RecordFrame.begin:
      if hasBegun { throw Self.malformed("two beginnings") }
      hasBegun = true
      try sink.begin(parts, fields)
    case RecordFrame.record: try takeRecord(frame)
    case RecordFrame.end:
      guard hasBegun, current < parts.count else { throw Self.malformed("an end without a beginning") }
      current += 1
      try sink.end(parts[current - 1])
    case RecordFrame.finish:
      if !hasBegun || current < parts.count { throw Self.malformed("an end within a part") }
      isFinished = true
    default: throw Self.malformed("a frame of kind \(frame[0])")
    }
  }

  private func takeRecord(_ frame: UnsafeRawBufferPointer) throws(ExportError) {
    guard hasBegun, current < parts.count else { throw Self.malformed("a record without a part") }
    let record: ExportRecord
    do throws(MalformedFrame) {
      record = try RecordFrame.read(frame, of: parts[current], fieldCount: fields.count)
    } catch { throw Self.malformed(error.what) }
    try sink.take(record)
  }

  private static func malformed(_ what: String) -> ExportError {
    .malformedStream("the node's answer has \(what): is it a node of this version?")
  }
}

/// Collects bytes, and hands them on in chunks.
final class ChunkedOutput {
  /// Bytes of a chunk, about.
  static let chunkBytes = 256 << 10

  /// Append here.
  var bytes: [UInt8] = []
  private let sink: ([UInt8]) throws(ExportError) -> Void

  init(_ sink: @escaping ([UInt8]) throws(ExportError) -> Void) {
    self.sink = sink
    bytes.reserveCapacity(Self.chunkBytes + 64 << 10)
  }

  @inline(__always)
  func handOnIfFull() throws(ExportError) {
    if bytes.count >= Self.chunkBytes { try handOn() }
  }

  func handOn() throws(ExportError) {
    if bytes.isEmpty { return }
    try sink(bytes)
    bytes.removeAll(keepingCapacity: true)
  }

  /// Hands on bytes that are behind those collected.
  ///
  /// - Precondition: nothing is collected.
  func handOn(_ chunk: [UInt8]) throws(ExportError) { try sink(chunk) }
}
