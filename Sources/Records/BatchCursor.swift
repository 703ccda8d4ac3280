public import Model
public import NIOCore

/// Steps through the records of one batch at a time; reusable for batch after batch.
///
/// For readers that are called once per record (a virtual table) and cannot live inside a closure. Memory is kept between batches.
/// Used by one thread at a time.
public final class BatchCursor {
  private let scratch = RecordScratch()
  /// Behind a pointer, so that stepping and reading fields happen in place: as a stored property the walk cost 85 ns a record, in
  /// exclusivity checks and copies.
  private let walk = UnsafeMutablePointer<RecordWalk>.allocate(capacity: 1)
  private var isLoaded = false
  private var hasRecord = false
  /// What keeps the bytes of the loaded batch in place: a buffer's storage, or our own copy.
  private var retained: Unmanaged<AnyObject>?
  private var copy = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var roomCount = 0

  private let recordBytesMax: Int

  /// - Parameter recordBytesMax: a larger record in a compressed batch is not unpacked: `next` throws `.recordTooLarge` in front of it.
  public init(recordBytesMax: Int = .max) { self.recordBytesMax = recordBytesMax }

  deinit {
    unload()
    walk.deallocate()
    copy.deallocate()
  }

  /// Takes the batch at the start of `batch` without copying it: the buffer's storage is held until the next load.
  ///
  /// - Throws: what is wrong with its header; then no batch is loaded.
  public func load(_ batch: ByteBuffer) throws(RecordsError) {
    unload()
    let bytes = batch.withUnsafeReadableBytesWithStorageManagement { bytes, storage in
      retained = storage.retain()
      return bytes
    }
    try begin(bytes)
  }

  /// Takes the batch at the start of `batch` by copying it.
  ///
  /// - Throws: what is wrong with its header; then no batch is loaded.
  public func load(copying batch: UnsafeRawBufferPointer) throws(RecordsError) {
    let count = try BatchHeader(ofWhole: batch).totalBytes
    room(for: count).copyMemory(from: UnsafeRawBufferPointer(rebasing: batch[..<count]))
    try loadRoom()
  }

  /// Where a batch of so many bytes may be put, for `loadRoom` to take it from there; what was loaded before is gone.
  public func room(for count: Int) -> UnsafeMutableRawBufferPointer {
    unload()
    if copy.count < count || copy.count > max(RecordScratch.keptBytesMax, 4 * count) {
      copy.deallocate()
      copy = .allocate(byteCount: count, alignment: 16)
    }
    roomCount = count
    return UnsafeMutableRawBufferPointer(rebasing: copy[..<count])
  }

  /// Takes the batch that was put into `room`.
  ///
  /// - Throws: what is wrong with its header; then no batch is loaded.
  public func loadRoom() throws(RecordsError) {
    try begin(UnsafeRawBufferPointer(rebasing: copy[..<roomCount]))
  }

  /// Lets go of the batch and its bytes.
  public func unload() {
    if isLoaded { walk.deinitialize(count: 1) }
    isLoaded = false
    hasRecord = false
    scratch.close()
    retained?.release()
    retained = nil
  }

  private func begin(_ bytes: UnsafeRawBufferPointer) throws(RecordsError) {
    do throws(RecordsError) {
      walk.initialize(
        to: try RecordWalk(
          bytes, scratch: scratch, limit: Limits.decompressedBatchBytesMax, recordBytesMax: recordBytesMax))
      isLoaded = true
    } catch {
      unload()
      throw error
    }
  }

  /// Moves to the next record, the first one after loading.
  ///
  /// - Returns: false behind the last record, and where no batch is loaded.
  /// - Throws: what is wrong with the batch; there is no current record then.
  public func next() throws(RecordsError) -> Bool {
    hasRecord = false
    guard isLoaded else { return false }
    let found = try walk.pointee.next()
    hasRecord = found
    return found
  }

  /// The header of the loaded batch.
  public var header: BatchHeader? { isLoaded ? walk.pointee.header : nil }

  /// The current record, borrowed until `next`, `load` or `unload`.
  /// - Precondition: `next` has answered true; likewise for what follows.
  public var record: RecordView {
    precondition(hasRecord, "there is no current record")
    return walk.pointee.record
  }

  public var offset: Offset { record.offset }
  /// Milliseconds; under LogAppendTime the batch's maximum.
  public var timestamp: TimestampMilliseconds { record.timestamp }
  /// Nil for a null key, which is not an empty one.
  public var key: UnsafeRawBufferPointer? { record.key }
  /// Nil for a null value, which is not an empty one.
  public var value: UnsafeRawBufferPointer? { record.value }
  public var headers: RecordHeaders { record.headers }
}
