internal import Model
internal import Records

/// The records of one batch, last one first.
///
/// A batch can only be decoded forwards, so its records are kept: of each the columns that are asked for.
struct ReversedBatch {
  private struct Entry {
    var offset: Int64
    var timestamp: Int64
    var key: Field
    var value: Field
    var headers: Field
  }
  /// A place in `bytes`; a negative count is null.
  private struct Field {
    var start = 0
    var count = -1
  }

  /// Bits of `TopicColumn`.
  private var columns: UInt64 = 0
  private var entries: [Entry] = []
  private var bytes: [UInt8] = []
  /// The entry that `next` moved to.
  private var index = 0

  /// Forgets the batch before.
  mutating func begin(columns: UInt64) {
    self.columns = columns
    entries.removeAll(keepingCapacity: true)
    // What one large batch has taken is not kept for the small ones.
    bytes.removeAll(keepingCapacity: bytes.capacity <= 4 << 20)
  }

  /// Keeps a record; in offset order.
  mutating func append(_ record: borrowing RecordView) {
    var entry = Entry(
      offset: record.offset.rawValue, timestamp: record.timestamp, key: Field(), value: Field(), headers: Field())
    if columns & TopicColumn.key.bit != 0, let key = record.key { entry.key = keep(key) }
    if columns & TopicColumn.value.bit != 0, let value = record.value { entry.value = keep(value) }
    if columns & TopicColumn.headers.bit != 0 {
      entry.headers.start = bytes.count
      HeadersText.append(record.headers, to: &bytes)
      entry.headers.count = bytes.count - entry.headers.start
    }
    entries.append(entry)
  }

  /// Stands behind the last record.
  mutating func finish() { index = entries.count }

  private mutating func keep(_ field: UnsafeRawBufferPointer) -> Field {
    defer { bytes.append(contentsOf: field) }
    return Field(start: bytes.count, count: field.count)
  }

  /// Moves to the record before; false in front of the first.
  mutating func next() -> Bool {
    guard index > 0 else { return false }
    index -= 1
    return true
  }

  var offset: Int64 { entries[index].offset }
  var timestamp: Int64 { entries[index].timestamp }

  func withKey<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R { with(entries[index].key, body) }
  func withValue<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R { with(entries[index].value, body) }
  func withHeaders<R>(_ body: (UnsafeRawBufferPointer?) -> R) -> R { with(entries[index].headers, body) }

  private func with<R>(_ field: Field, _ body: (UnsafeRawBufferPointer?) -> R) -> R {
    guard field.count >= 0 else { return body(nil) }
    return bytes.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[field.start..<field.start + field.count])) }
  }
}
