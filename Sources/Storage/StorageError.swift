public import Model
public import SQLite

/// Bytes on disk that are not what was written there.
public struct StorageDamage: Sendable, Hashable {
  /// The database.
  public var file: String
  /// Base offset of the batch, where one is known.
  public var baseOffset: Offset?
  /// The first offset that cannot be read.
  public var offset: Offset?
  public var reason: String
}

/// What Storage could not do.
public enum StorageError: Error, Sendable {
  /// Another process has the data directory; said in words.
  case directoryInUse(String)
  /// A database of another program or of a newer Quire.
  case migration(MigrationError)
  case sqlite(SQLiteError)
  /// A system call failed.
  case system(call: String, path: String, number: CInt)
  /// What was asked for cannot be read; everything else can.
  case damaged(StorageDamage)
  /// The partition takes nothing until it has been rebuilt.
  case fenced(String)
  /// A directory that is wanted for a new partition holds what may not be removed; path and reason.
  case occupied(String, String)
  case unknownPartition(TopicPartition)
  /// The partition follows another node's, and takes records from there alone.
  case notLeader(TopicPartition)
  case offsetOutOfRange(Offset, start: Offset, end: Offset)
  /// The request itself was wrong.
  case refused(ErrorCode)
  /// The store is closing or closed.
  case closed
}

extension StorageError {
  /// What a Kafka client is told.
  public var errorCode: ErrorCode {
    switch self {
    case .unknownPartition: .unknownTopicOrPartition
    case .offsetOutOfRange: .offsetOutOfRange
    case .refused(let code): code
    case .closed, .notLeader: .notLeaderOrFollower
    default: .kafkaStorageError
    }
  }

  public var code: ErrorCode { errorCode }

  /// A sync failed: what it was to make durable is not trusted any more.
  var isSyncFailure: Bool {
    switch self {
    case .sqlite(let error), .migration(.sqlite(let error)): error.isSyncFailure
    case .system(let call, _, _): call == "fsync" || call == "fdatasync"
    default: false
    }
  }

  /// The disk had no room: what failed may work later, without any repair.
  public var isDiskFull: Bool {
    switch self {
    case .sqlite(let error), .migration(.sqlite(let error)): error.isDiskFull
    case .system(_, _, let number): number == noSpaceLeft
    default: false
    }
  }
}

extension StorageError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .directoryInUse(let words): return words
    case .migration(let error): return error.description
    case .sqlite(let error): return error.description
    case .system(let call, let path, let number): return "\(call) \(path): \(systemMessage(number))"
    case .damaged(let damage):
      let batch = damage.baseOffset.map { ", batch \($0)" } ?? ""
      let offset = damage.offset.map { ", offset \($0)" } ?? ""
      return "\(damage.file)\(batch)\(offset): \(damage.reason)"
    case .fenced(let words): return words
    case .occupied(let directory, let words): return "\(directory) \(words); move it out of the data directory first"
    case .unknownPartition(let partition): return "there is no partition \(partition)"
    case .notLeader(let partition): return "\(partition) is a replica here; its leader takes the records"
    case .offsetOutOfRange(let offset, let start, let end): return "offset \(offset) is not within \(start) to \(end)"
    case .refused(let code): return "\(code)"
    case .closed: return "the store is closed"
    }
  }
}

/// Runs `body`, whose errors are SQLite's.
@inline(__always) func storage<R>(_ body: () throws(SQLiteError) -> R) throws(StorageError) -> R {
  do throws(SQLiteError) { return try body() } catch { throw .sqlite(error) }
}
