public import Model
public import NIOCore

/// Steps through the records of one batch at a time; reusable for batch after batch.
///
/// For readers that are called once per record (a virtual table) and cannot live inside a closure. Memory is kept between batches.
/// Used by one thread at a time.
public final class BatchCursor {
  private let scratch = RecordScratch()
  private var walk: RecordWalk?
  /// What keeps the bytes of the loaded batch in place: a buffer's storage, or our own copy.
  private var retained: Unmanaged<AnyObject>?
  private var copy = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  private var hasRecord = false

  public init() {}

  deinit {
    retained?.release()
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
    unload()
    let count = try BatchHeader(ofWhole: batch).totalBytes
    if copy.count < count || copy.count > max(RecordScratch.keptBytesMax, 4 * count) {
      copy.deallocate()
      copy = .allocate(byteCount: count, alignment: 16)
    }
    copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: batch[..<count]))
    try begin(UnsafeRawBufferPointer(rebasing: copy[..<count]))
  }

  /// Lets go of the batch and its bytes.
  public func unload() {
    walk = nil
    hasRecord = false
    scratch.close()
    retained?.release()
    retained = nil
  }

  private func begin(_ bytes: UnsafeRawBufferPointer) throws(RecordsError) {
    do throws(RecordsError) {
      walk = try RecordWalk(bytes, scratch: scratch, limit: Limits.decompressedBatchBytesMax)
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
    guard walk != nil else { return false }
    hasRecord = try walk!.next()
    return hasRecord
  }

  /// The header of the loaded batch.
  public var header: BatchHeader? { walk?.header }

  /// The current record, borrowed until `next`, `load` or `unload`.
  /// - Precondition: `next` has answered true.
  public var record: RecordView {
    precondition(hasRecord, "there is no current record")
    return walk!.record
  }

  public var offset: Offset { record.offset }
  /// Milliseconds; under LogAppendTime the batch's maximum.
  public var timestamp: TimestampMilliseconds { record.timestamp }
  public var key: UnsafeRawBufferPointer? { record.key }
  public var value: UnsafeRawBufferPointer? { record.value }
  public var headers: RecordHeaders { record.headers }
}
