internal import Glibc

let noSpaceLeft: CInt = ENOSPC
let noSuchFile: CInt = ENOENT

func systemMessage(_ number: CInt) -> String { String(cString: strerror(number)) }

/// System calls on files and directories, each with its error in words.
///
/// None of them may be used on a database file or a -shm that a connection of this process has open: closing any
/// descriptor of such a file drops the locks SQLite holds on it (fcntl). A -wal carries no locks.
enum FileSystem {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Creates a directory, readable by its owner only; one that exists is fine. Its parent is synced.
  static func makeDirectory(_ path: String) throws(StorageError) {
    if try makeUnsyncedDirectory(path) { return try syncDirectory(parent(of: path)) }
    // Whoever made it may have been killed before the sync; a parent that cannot be read is not ours.
    try? syncDirectory(parent(of: path))
  }

  /// As `makeDirectory`; its parent is the caller's to sync.
  ///
  /// - Returns: false if it exists.
  @discardableResult
  static func makeUnsyncedDirectory(_ path: String) throws(StorageError) -> Bool {
    if mkdir(path, 0o700) == 0 { return true }
    guard errno == EEXIST else { throw .system(call: "mkdir", path: path, number: errno) }
    return false
  }

  /// Makes the entries of a directory durable.
  static func syncDirectory(_ path: String) throws(StorageError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(call: "open", path: path, number: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .system(call: "fsync", path: path, number: errno) }
  }

  /// Makes a file durable that no connection has open.
  static func syncFile(_ path: String) throws(StorageError) {
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(call: "open", path: path, number: errno) }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw .system(call: "fsync", path: path, number: errno) }
  }

  static func rename(_ old: String, to new: String) throws(StorageError) {
    guard Glibc.rename(old, new) == 0 else { throw .system(call: "rename", path: old, number: errno) }
  }

  /// Removes a file; one that is not there is fine.
  static func remove(_ path: String) throws(StorageError) {
    guard unlink(path) == 0 || errno == ENOENT else { throw .system(call: "unlink", path: path, number: errno) }
  }

  /// Removes a directory and the files in it, one level deep as Storage makes them.
  static func removeDirectory(_ path: String) throws(StorageError) {
    for name in try list(path) { try remove("\(path)/\(name)") }
    guard rmdir(path) == 0 || errno == ENOENT else { throw .system(call: "rmdir", path: path, number: errno) }
  }

  /// The names in a directory, without `.` and `..`, in order; empty if it does not exist.
  static func list(_ path: String) throws(StorageError) -> [String] {
    guard let directory = opendir(path) else {
      if errno == ENOENT { return [] }
      throw .system(call: "opendir", path: path, number: errno)
    }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The bytes of a file; nil if it does not exist. (A stat: safe for database files.)
  static func size(of path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : nil
  }

  /// When a file was written last, milliseconds since 1970; nil if it does not exist. (A stat: safe for database files.)
  static func modificationMilliseconds(of path: String) -> Int64? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
  }

  /// The number of a file; nil if it does not exist. (A stat: safe for database files.)
  static func inode(of path: String) -> UInt64? {
    var status = stat()
    return stat(path, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Gives a file disk space up to `size` bytes; what was not written reads as zeros.
  ///
  /// - Throws: also where the file system cannot; the file is as it was.
  static func extend(_ descriptor: CInt, to size: Int, path: String) throws(StorageError) {
    let code = posix_fallocate(descriptor, 0, size)
    if code != 0 { throw .system(call: "posix_fallocate", path: path, number: code) }
  }

  static func parent(of path: String) -> String {
    if path.utf8.count > 1, path.hasSuffix("/") { return parent(of: String(path.dropLast())) }
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  static func name(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
  }
}
