internal import Model
internal import SQLite

/// Whose log a partition's directory holds, by what its segments say of themselves.
enum PartitionOwner {
  /// There is no such directory.
  case none
  /// It holds no segment: a creation or a removal was cut short.
  case nobody
  case topic(TopicID)
  case unreadable(StorageError)

  init(of directory: String) {
    guard FileSystem.exists(directory) else {
      self = .none
      return
    }
    do throws(StorageError) {
      self = .nobody
      // One that can be read says it for all.
      for name in try FileSystem.list(directory).compactMap({ SegmentName(fileName: $0) }).sorted(by: >) {
        do throws(StorageError) {
          self = .topic(try Self.topic(of: "\(directory)/\(name.fileName)"))
          return
        } catch { self = .unreadable(error) }
      }
    } catch { self = .unreadable(error) }
  }

  private static func topic(of path: String) throws(StorageError) -> TopicID {
    let connection = try OfflineConnection.openLog(path, isImmutable: false)
    let id = try storage { () throws(SQLiteError) -> TopicID? in
      let row = try connection.prepare("SELECT topic_id FROM partition_state")
      return try row.step() ? TopicID(bytes: row.blob(at: 0)) : nil
    }
    guard let id else {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
    }
    return id
  }
}
