internal import Glibc
internal import Logging
internal import Model
internal import Pages
internal import SQLite

// A segment that comes whole: the first one, the successor of one that was rolled, or the same one anew.

extension FollowerPartition {
  func begin(with set: PageSet) throws(ReplicaError) {
    let draft = "\(log.directory)/incoming.tmp"
    do throws(ReplicaError) {
      // The rest of the old segment counts as soon as the new one has its name.
      do throws(StorageError) { try syncActive() } catch { throw .storage(error) }
      let sums = try write(set, to: draft)
      let (state, extent) = try read(draft)
      try check(state, extent, set.header)
      do throws(StorageError) { try install(draft, state, endOffset: extent.endOffset, sums) } catch { throw .storage(error) }
    } catch {
      try? SegmentBuilder.removeDatabase(draft)
      throw error
    }
    count(set)
  }

  /// Writes the pages as a file, synced.
  private func write(_ set: PageSet, to draft: String) throws(ReplicaError) -> PageSums {
    var sums = PageSums(pageSize: set.header.pageSize)
    var position = CommitPosition.zero
    let refusal: PagesError?
    do throws(StorageError) {
      try SegmentBuilder.removeDatabase(draft)
      let file = try DraftFile(draft)
      refusal = try sums.apply(
        set, at: &position, previous: { (_, room) throws(StorageError) in room.initializeMemory(as: UInt8.self, repeating: 0) },
        write: { (number, page) throws(StorageError) in
          try file.write(page, at: number.byteOffset(pageSize: set.header.pageSize))
        })
      if refusal == nil { try file.sync() }
    } catch { throw .storage(error) }
    if let refusal { throw .diverged(refusal) }
    return sums
  }

  private func read(_ draft: String) throws(ReplicaError) -> (PartitionState, ActiveExtent) {
    do throws(StorageError) {
      let connection = try OfflineConnection.openLog(draft, isImmutable: true)
      let found = try storage { () throws(SQLiteError) in try SegmentSQL.load(connection, withProducers: false) }
      if let found { return found }
    } catch {
      if case .system = error { throw .storage(error) }
      throw .refused("the pages that came are no segment: \(error)")
    }
    throw .refused("the pages that came are no segment: they have no partition state")
  }

  private func check(_ state: PartitionState, _ extent: ActiveExtent, _ header: PageSetHeader) throws(ReplicaError) {
    guard state.topicID == log.topicID, state.topicPartition == log.topicPartition else {
      throw .refused("the pages that came are of \(state.topicPartition) (topic id \(state.topicID))")
    }
    guard FollowerSegment.position(of: state) == header.after else {
      throw .refused("the pages that came stand at \(FollowerSegment.position(of: state)), not at \(header.after)")
    }
    if let refusal = refusal(of: state.epochs, endOffset: extent.endOffset) { throw refusal }
  }

  /// Gives the draft its name and goes on with it.
  ///
  /// - Throws: what was there is read on, if it is still there; a full state has to come.
  private func install(
    _ draft: String, _ state: PartitionState, endOffset: Int64, _ sums: PageSums
  ) throws(StorageError) {
    while jobsInFlight > 0 { monitor.wait() }
    let name = SegmentName(baseOffset: state.baseOffset, generation: state.generation)
    let path = "\(log.directory)/\(name.fileName)"
    var predecessor = active?.file ?? distrusted
    let predecessorEnd = active?.extent.endOffset ?? durableEnd
    distrusted = predecessor
    letGoOfActive()
    // A file of the same name is written over; those behind it would be the active segment after a crash.
    let files = older.map(\.file) + (predecessor.map { [$0] } ?? [])
    for file in files where file.name >= name {
      _ = file.claimRemoval(force: true)
      store.readers.drop(file)
    }
    keepFromRemoval(name)
    if predecessor?.isGone == true { predecessor = nil }
    older.removeAll { $0.file.isGone }
    let common = common(with: state.epochs, endOffset: endOffset)
    if common < highWatermark { acceptLoss(below: common) }
    if FileSystem.exists(path) { noteResync("a full state", to: FollowerSegment.position(of: state)) }
    hasDiverged = false
    // Also a -wal alone: it would be replayed into the new file.
    try SegmentBuilder.removeDatabase(path)
    try FileSystem.rename(draft, to: path)
    for other in try FileSystem.list(log.directory).compactMap({ SegmentName(fileName: $0) }) where other > name {
      try SegmentBuilder.removeDatabase("\(log.directory)/\(other.fileName)")
    }
    try FileSystem.syncDirectory(log.directory)
    FenceMark.remove(log.directory)
    let file = SegmentFile(directory: log.directory, name: name, phase: .active, record: nil)
    let segment = try FollowerSegment(file, of: log, sums: sums)
    active = segment
    distrusted = nil
    durableEnd = segment.extent.endOffset
    takeSegments(of: segment.state, predecessor: predecessor, endOffset: predecessorEnd)
    publish()
  }
}

/// A new file with a descriptor of its own, which no connection may have open.
final class DraftFile {
  private let path: String
  private let descriptor: CInt

  /// - Parameter goesOn: what is there already stays.
  init(_ path: String, goesOn: Bool = false) throws(StorageError) {
    self.path = path
    descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (goesOn ? 0 : O_TRUNC), 0o600)
    if descriptor < 0 { throw .system(call: "open", path: path, number: errno) }
  }

  deinit { if descriptor >= 0 { close(descriptor) } }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
    var done = 0
    while done < bytes.count {
      let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw .system(call: "write", path: path, number: errno) }
      done += count
    }
  }

  /// The same past the page cache, as far as the file system can.
  func writePastCache(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(StorageError) {
    let alignment = DirectIO.alignment
    let isAligned = offset % alignment == 0 && UInt(bitPattern: bytes.baseAddress) % UInt(alignment) == 0
    let direct = isAligned ? bytes.count / alignment * alignment : 0
    let flags = fcntl(descriptor, F_GETFL)
    if direct > 0, fcntl(descriptor, F_SETFL, flags | DirectIO.openFlag) == 0 {
      defer { _ = fcntl(descriptor, F_SETFL, flags) }
      let count = pwrite(descriptor, bytes.baseAddress!, direct, off_t(offset))
      if count == bytes.count { return }
    }
    // The rest, or all of it once more: then that says what is wrong.
    try write(bytes, at: offset)
  }

  func sync() throws(StorageError) {
    guard fsync(descriptor) == 0 else { throw .system(call: "fsync", path: path, number: errno) }
  }
}
