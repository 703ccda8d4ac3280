internal import Model
internal import SQLite

/// A closing segment on its way to being sealed: the folding thread has its write connection, and nobody else.
///
/// Copying the last MiB of a WAL into the file, syncing that and letting go of the WAL take tens of milliseconds, in which a lane
/// would acknowledge nothing.
///
// Safe because: the lane hands it to the folding thread and takes it back, each time through a queue.
final class SegmentSealing: @unchecked Sendable {
  enum Outcome: Sendable {
    case sealed
    /// Somebody reads it, or has it open outside; to be tried again.
    case inUse
    case failed(StorageError)
  }

  let file: SegmentFile
  /// Nil when it is opened only to be sealed, and once it is closed.
  private(set) var writer: SegmentWriter?
  private let store: StoreShared

  init(_ file: SegmentFile, _ writer: SegmentWriter?, _ store: StoreShared) {
    self.file = file
    self.writer = writer
    self.store = store
  }

  /// Folds the WAL into the file and lets go of it; then the file is read as immutable. Readers wait meanwhile.
  ///
  /// - Parameter becomesSealed: false where nobody may read the file yet: it is still to be compared.
  func run(becomesSealed: Bool = true) -> Outcome {
    guard file.closeGate() else { return .inUse }
    defer { file.openGate() }
    store.readers.drop(file)
    do throws(StorageError) {
      let wasOpen = writer != nil
      if writer == nil {
        writer = try SegmentWriter(path: file.path, cacheKiB: store.options.writerCacheKiB, syncsWAL: true)
      }
      let writer = writer!
      guard store.reserve.allowsFolding(writer.walBytes) else {
        throw .sqlite(SQLiteError(code: 13, message: "the disk is full"))
      }
      let isFolded = try storage { () throws(SQLiteError) in !(try writer.checkpoint(.truncate).isBusy) }
      if isFolded || !wasOpen { close(removesWAL: isFolded) }
      // Somebody outside may still hold the file open: then its -wal, empty by now, stays until they let go.
      guard isFolded, !FileSystem.exists(file.path + "-wal") else { return .inUse }
    } catch {
      close(removesWAL: false)
      return .failed(error)
    }
    // They were of a file that was written to.
    KeptSums.remove(of: file)
    if becomesSealed { file.becomeSealed() }
    return .sealed
  }

  func close(removesWAL: Bool) {
    writer?.close(removesWAL: removesWAL)
    writer = nil
  }
}
