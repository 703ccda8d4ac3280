public import Bytes
public import NIOCore

/// The record batches of one partition in a Produce request or a Fetch response.
///
/// Read, it is one slice that shares the frame's storage. To be written, it is any number of chunks, which follow each
/// other without a gap and go out as they are.
public struct RecordsField: Sendable {
  // The two usual cases hold no array: reading a Produce request allocates nothing for its records.
  private enum Storage {
    case empty
    case one(ByteBuffer)
    case many([ByteBuffer])
  }

  private var storage: Storage
  public private(set) var byteCount: Int

  public init() {
    storage = .empty
    byteCount = 0
  }

  public init(_ chunk: ByteBuffer) {
    storage = .one(chunk)
    byteCount = chunk.readableBytes
  }

  public init(chunks: [ByteBuffer]) {
    storage = chunks.isEmpty ? .empty : chunks.count == 1 ? .one(chunks[0]) : .many(chunks)
    byteCount = chunks.reduce(0) { $0 + $1.readableBytes }
  }

  public var chunks: [ByteBuffer] {
    get {
      switch storage {
      case .empty: []
      case .one(let chunk): [chunk]
      case .many(let chunks): chunks
      }
    }
    set { self = RecordsField(chunks: newValue) }
  }

  public var isEmpty: Bool { byteCount == 0 }

  /// All bytes as one buffer: without a copy if there is one chunk, as there is in everything that was read.
  public var joined: ByteBuffer {
    switch storage {
    case .empty: return ByteBuffer()
    case .one(let chunk): return chunk
    case .many(let chunks):
      var all = ByteBufferAllocator().buffer(capacity: byteCount)
      for chunk in chunks { all.writeImmutableBuffer(chunk) }
      return all
    }
  }

  func forEachChunk(_ body: (ByteBuffer) -> Void) {
    switch storage {
    case .empty: break
    case .one(let chunk): body(chunk)
    case .many(let chunks): chunks.forEach(body)
    }
  }
}

extension RecordsField: NullableFieldValue {
  public static var initialValue: RecordsField { RecordsField() }

  public static func == (a: RecordsField, b: RecordsField) -> Bool { a.byteCount == b.byteCount && a.joined == b.joined }

  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) {
    var value: RecordsField? = self
    try coder.records(&value, nullable: false)
    self = value ?? RecordsField()
  }

  public static func code<C: FieldCoder>(
    _ value: inout RecordsField?, nullable: Bool, _ coder: inout C
  ) throws(WireError) { try coder.records(&value, nullable: nullable) }
}
