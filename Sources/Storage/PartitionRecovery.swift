internal import Glibc
internal import Model
internal import SQLite

/// Finds out what a partition's directory holds, and removes what a crash left over.
enum PartitionRecovery {
  struct Found {
    var state: PartitionState
    var extent: ActiveExtent
    var active: SegmentFile
    /// Nil where the partition stays fenced.
    var writer: SegmentWriter?
    /// Why nothing can be appended, although everything that is intact can be read.
    var fenceReason: String?
    var sealed: [SegmentFile] = []
    var closing: [SegmentFile] = []
  }

  static func recover(_ log: PartitionLog, options: StoreOptions, now: Int64) throws(StorageError) -> Found {
    let directory = log.directory
    let files = try FileSystem.list(directory)
    for file in files where file.contains(".tmp") { try FileSystem.remove("\(directory)/\(file)") }
    for file in files where file.hasSuffix("-wal") || file.hasSuffix("-shm") {
      let database = "\(directory)/\(file.dropLast(4))"
      if !FileSystem.exists(database) { try FileSystem.remove("\(directory)/\(file)") }
    }
    var names = files.compactMap { SegmentName(fileName: $0) }.sorted()
    guard var newest = names.last else {
      throw .damaged(
        StorageDamage(file: directory, baseOffset: nil, offset: nil, reason: "the partition has no segment"))
    }
    if let fence = FenceMark.read(directory), fence.name == newest {
      do throws(StorageError) {
        newest = try SegmentRebuild.rebuild(
          newest, in: directory, upTo: fence.endOffset, state: nil, options: options, now: now)
      } catch { return try fenced(log, newest, upTo: fence.endOffset, because: error) }
      names.append(newest)
    }
    FenceMark.remove(directory)
    let path = "\(directory)/\(newest.fileName)"
    let writer = try SegmentWriter(path: path, cacheKiB: options.writerCacheKiB, syncsWAL: true)
    do throws(StorageError) {
      let loaded = try storage { () throws(SQLiteError) in try SegmentSQL.load(writer.connection) }
      var found = try check(loaded, log, newest)
      found.writer = writer
      // What the active segment does not name: older generations, and what retention let go of before a crash.
      let wanted = Set([newest] + (found.sealed + found.closing).map(\.name))
      for name in names where !wanted.contains(name) { try SegmentBuilder.removeDatabase("\(directory)/\(name.fileName)") }
      return found
    } catch {
      writer.close(removesWAL: false)
      throw error
    }
  }

  /// A segment that cannot be rebuilt now, to be read as far as it is intact; nothing is removed.
  private static func fenced(
    _ log: PartitionLog, _ name: SegmentName, upTo endOffset: Int64, because error: StorageError
  ) throws(StorageError) -> Found {
    let source = try OfflineConnection.openLog("\(log.directory)/\(name.fileName)", isImmutable: false)
    var found = try check(try SegmentRebuild.durablePart(of: source, upTo: endOffset), log, name)
    found.fenceReason = "\(error)"
    return found
  }

  /// What a newest segment says of its partition, if it is of that.
  private static func check(
    _ loaded: (state: PartitionState, extent: ActiveExtent)?, _ log: PartitionLog, _ name: SegmentName
  ) throws(StorageError) -> Found {
    let path = "\(log.directory)/\(name.fileName)"
    guard let (state, extent) = loaded else {
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
    }
    guard state.topicID == log.topicID, state.topicPartition == log.topicPartition, state.baseOffset == name.baseOffset,
      state.generation == name.generation
    else {
      throw .damaged(
        StorageDamage(
          file: path, baseOffset: nil, offset: nil,
          reason: "the segment belongs to \(state.topicPartition) (topic id \(state.topicID), base \(state.baseOffset))"))
    }
    var found = Found(
      state: state, extent: extent,
      active: SegmentFile(directory: log.directory, name: name, phase: .active, record: nil))
    for record in state.segments {
      let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
      let path = "\(log.directory)/\(name.fileName)"
      var record = record
      if let seal = record.seal {
        switch SealMatch(path, seal) {
        // One that cannot be removed is not read, and goes with the file.
        case .sealed(hasLog: true): for ending in ["-wal", "-shm"] { try? FileSystem.remove(path + ending) }
        case .sealed, .differs: break
        case .unfolded: record.seal = nil
        }
      }
      let isSealed = record.seal != nil
      let file = SegmentFile(directory: log.directory, name: name, phase: isSealed ? .sealed : .closing, record: record)
      if isSealed { found.sealed.append(file) } else { found.closing.append(file) }
    }
    return found
  }
}
