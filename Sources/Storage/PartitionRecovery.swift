internal import Glibc
internal import Model
internal import SQLite

/// Finds out what a partition's directory holds, and removes what a crash left over.
enum PartitionRecovery {
  struct Found {
    var state: PartitionState
    var extent: ActiveExtent
    var active: SegmentFile
    var writer: SegmentWriter
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
      newest = try SegmentRebuild.rebuild(newest, in: directory, upTo: fence.endOffset, state: nil, options: options, now: now)
      names.append(newest)
    }
    FenceMark.remove(directory)
    let path = "\(directory)/\(newest.fileName)"
    let writer = try SegmentWriter(path: path, cacheKiB: options.writerCacheKiB, syncsWAL: true)
    do throws(StorageError) {
      guard let (state, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(writer.connection) }) else {
        throw .damaged(
          StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the segment has no partition state"))
      }
      try check(state, against: log, newest, path)
      var found = Found(
        state: state, extent: extent,
        active: SegmentFile(directory: directory, name: newest, phase: .active, record: nil), writer: writer)
      var wanted = Set([newest])
      for record in state.segments {
        let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
        wanted.insert(name)
        let isSealed = record.seal != nil
        let file = SegmentFile(directory: directory, name: name, phase: isSealed ? .sealed : .closing, record: record)
        if isSealed { found.sealed.append(file) } else { found.closing.append(file) }
      }
      // What the active segment does not name: older generations, and what retention let go of before a crash.
      for name in names where !wanted.contains(name) { try SegmentBuilder.removeDatabase("\(directory)/\(name.fileName)") }
      return found
    } catch {
      writer.close(removesWAL: false)
      throw error
    }
  }

  private static func check(
    _ state: PartitionState, against log: PartitionLog, _ name: SegmentName, _ path: String
  ) throws(StorageError) {
    guard state.topicID == log.topicID, state.topicPartition == log.topicPartition, state.baseOffset == name.baseOffset,
      state.generation == name.generation
    else {
      throw .damaged(
        StorageDamage(
          file: path, baseOffset: nil, offset: nil,
          reason: "the segment belongs to \(state.topicPartition) (topic id \(state.topicID), base \(state.baseOffset))"))
    }
  }
}
