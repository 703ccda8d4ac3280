internal import CSQLite

/// Called after each commit with the number of frames that are valid in the WAL.
final class WALCallback {
  let body: (Int) -> Void
  init(_ body: @escaping (Int) -> Void) { self.body = body }
}

/// What a checkpoint did.
public struct CheckpointResult: Sendable {
  /// SQLITE_BUSY was answered: a reader or writer was in the way of a mode other than PASSIVE.
  public var isBusy: Bool
  /// Frames in the WAL, and how many of them are in the database file now; -1 when there is no WAL.
  public var walFrames: Int
  public var checkpointedFrames: Int
  /// Every frame is in the database file: the next commit starts the WAL over, if no reader stands in it.
  public var isComplete: Bool { walFrames == checkpointedFrames }
}

public enum CheckpointMode: Sendable {
  case passive, truncate
  var flag: CInt { self == .passive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE }
}

extension Connection {
  /// Copies frames of the WAL into the database file.
  ///
  /// - Precondition: the database was read through this connection before (SQLite silently does nothing otherwise), and
  ///   no other connection writes meanwhile (SQLite before 3.51.3 can corrupt the database when the WAL starts over).
  /// - Throws: anything but busy; a failed sync is `isSyncFailure`.
  public func checkpoint(_ mode: CheckpointMode) throws(SQLiteError) -> CheckpointResult {
    var walFrames: CInt = -1
    var checkpointed: CInt = -1
    let code = sqlite3_wal_checkpoint_v2(handle, nil, mode.flag, &walFrames, &checkpointed)
    if code != SQLITE_OK, code & 0xFF != SQLITE_BUSY { throw error(code, sql: nil) }
    return CheckpointResult(isBusy: code != SQLITE_OK, walFrames: Int(walFrames), checkpointedFrames: Int(checkpointed))
  }

  /// Calls `body` after each commit with the number of valid frames in the WAL.
  ///
  /// Shares its slot with automatic checkpoints: setting it turns those off.
  public func setWALHook(_ body: @escaping (Int) -> Void) {
    let callback = WALCallback(body)
    walCallback = callback
    _ = sqlite3_wal_hook(
      handle,
      { context, _, _, frames in
        Unmanaged<WALCallback>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.body(Int(frames)) }
        return SQLITE_OK
      }, Unmanaged.passUnretained(callback).toOpaque())
  }

  /// Lets SQLite checkpoint by itself after a commit that leaves `pages` frames in the WAL; for databases with one writer.
  public func setAutomaticCheckpoint(pages: Int) {
    sqlite3_wal_autocheckpoint(handle, CInt(clamping: pages))
    walCallback = nil
  }
}
