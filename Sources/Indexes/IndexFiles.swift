internal import Glibc
public import Model
public import Storage
internal import Synchronization

/// The index files that look-ups use: kept open while there is room, the least recently used closed first. Any thread.
public final class IndexFiles: Sendable {
  private struct Entry {
    var path: String
    var inode: UInt64
    var file: IndexFile
  }

  /// Safe because: a file is in the list or with one thread that looks something up, never both.
  private struct State: @unchecked Sendable {
    var idle: [Entry] = []
    var damaged: Set<String> = []
  }
  private let state = Mutex(State())
  private let confirmsOnce: Bool

  /// Open files that nobody uses.
  private static let idleMax = 64

  /// - Parameter confirmsOnce: the log loses nothing while this lives: it is the node's own.
  public init(confirmsOnce: Bool) { self.confirmsOnce = confirmsOnce }

  /// Index files of one partition as its directory has them, for the segments of a cut; by segment, in the order of offsets.
  public func listing(of partition: PartitionHistory) -> IndexListing {
    guard let path = partition.segments.last?.path, let slash = path.lastIndex(of: "/") else {
      return IndexListing(directory: "")
    }
    let directory = String(path[..<slash])
    let names = DirectoryNames.list(directory).compactMap { IndexName(fileName: $0) }
    var listing = IndexListing(directory: directory)
    for segment in partition.segments {
      let base = segment.baseOffset.rawValue
      listing.names += IndexName.chosen(names.filter { $0.segmentBase == base && $0.generation == segment.generation })
    }
    return listing
  }

  /// The offsets of the records among which every answer is that the file covers, ascending.
  ///
  /// - Parameters:
  ///   - confirm: whether the log has this batch.
  ///   - shouldStop: asked now and then.
  /// - Returns: nil if what the file covers is to be scanned: there are too many of them, or the file is of no use.
  /// - Throws: `.stopped`, `.unavailable`.
  public func offsets(
    _ definition: IndexDefinition, _ probe: IndexProbe, in name: IndexName, _ directory: String, of topicID: TopicID,
    _ partition: Int32, confirm: (IndexExtent.BatchIdentity) -> Bool, shouldStop: @escaping () -> Bool
  ) throws(IndexError) -> [Int64]? {
    let path = "\(directory)/\(name.fileName)"
    do throws(IndexError) {
      let entry = try take(path)
      let file = entry.file
      guard file.extent.topicID == topicID, file.extent.partition == partition, file.extent.name == name else { return nil }
      if !file.isConfirmed {
        guard confirm(file.extent.lastBatch) else { return nil }
        file.isConfirmed = confirmsOnce
      }
      let offsets = try file.offsets(definition, probe, shouldStop: shouldStop)
      giveBack(entry)
      return offsets
    } catch {
      switch error {
      case .notUsable: return nil
      case .damaged:
        state.withLock { _ = $0.damaged.insert(path) }
        return nil
      case .stopped, .unavailable: throw error
      }
    }
  }

  /// What an index file has, as it says itself; nil if it is not there, damaged, or of another log.
  public func contents(
    of name: IndexName, _ directory: String, topicID: TopicID, _ partition: Int32
  ) -> (definitions: Set<String>, bytes: Int64)? {
    let path = "\(directory)/\(name.fileName)"
    guard let entry = try? take(path) else { return nil }
    let file = entry.file
    guard file.extent.topicID == topicID, file.extent.partition == partition, file.extent.name == name else { return nil }
    defer { giveBack(entry) }
    return (Set(file.numbers.keys), DirectoryNames.size(of: path))
  }

  /// The files that were found damaged since the last call.
  func takeDamaged() -> Set<String> {
    state.withLock { state in
      defer { state.damaged = [] }
      return state.damaged
    }
  }

  /// Closes the files of a directory that nobody uses.
  func drop(in directory: String) {
    state.withLock { state in state.idle.removeAll { $0.path.hasPrefix(directory + "/") } }
  }

  /// Closes a file that is no more, or another from now on.
  func drop(_ path: String) { state.withLock { state in state.idle.removeAll { $0.path == path } } }

  /// Those that are open and that nobody uses.
  var idlePaths: [String] { state.withLock { $0.idle.map(\.path) } }

  private func take(_ path: String) throws(IndexError) -> Entry {
    guard let inode = DirectoryNames.inode(of: path) else {
      drop(path)
      throw .notUsable
    }
    let known: Entry? = state.withLock { state in
      state.idle.removeAll { $0.path == path && $0.inode != inode }
      return state.idle.lastIndex { $0.path == path && $0.inode == inode }.map { state.idle.remove(at: $0) }
    }
    if let known { return known }
    return Entry(path: path, inode: inode, file: try IndexFile(path))
  }

  private func giveBack(_ entry: Entry) {
    // It may have gone meanwhile, and would keep its descriptor, and its room on the disk.
    guard DirectoryNames.inode(of: entry.path) == entry.inode else { return }
    state.withLock { state in
      state.idle.append(entry)
      if state.idle.count > Self.idleMax { state.idle.removeFirst() }
    }
  }
}

/// Index files of one partition.
public struct IndexListing: Sendable {
  public let directory: String
  /// In the order of offsets; where they overlap, the later one counts from where the former ends.
  public internal(set) var names: [IndexName] = []
}

enum DirectoryNames {
  /// Empty where it cannot be read.
  static func list(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        })
    }
    return names
  }

  static func inode(of path: String) -> UInt64? {
    var status = stat()
    return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Of the file system, for ordinary processes; none where that cannot be told.
  static func freeBytes(of path: String) -> Int64 {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return 0 }
    return Int64(clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
  }

  static func size(of path: String) -> Int64 {
    var status = stat()
    return stat(path, &status) == 0 ? Int64(status.st_size) : 0
  }
}
