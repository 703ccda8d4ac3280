internal import Glibc
internal import SQLite

/// Writes the WAL that an earlier life left once more, so that a sync says something about it.
///
/// After a failed sync the kernel takes the pages for clean and forgets the error. Whoever finds them in the page cache later would
/// sync nothing, and put acknowledged commits behind a hole. What is written again, byte for byte, goes to the disk again: what
/// counts does not depend on any mark of the failure, which the same disk may have refused.
enum WALRenewal {
  private static let headerBytes = 32
  private static let frameHeaderBytes = 24

  /// Renews the WAL of `connection`, which has read it.
  ///
  /// - Throws: it may not be trusted; another try begins anew.
  static func renew(_ connection: Connection) throws(StorageError) {
    let path = connection.path + "-wal"
    let descriptor = open(path, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else {
      if errno == ENOENT { return }
      throw .system(call: "open", path: path, number: errno)
    }
    defer { close(descriptor) }
    try renew(connection, descriptor, path)
  }

  /// - Parameter descriptor: of the -wal of `connection`.
  static func renew(_ connection: Connection, _ descriptor: CInt, _ path: String) throws(StorageError) {
    // With the write lock nobody can truncate the WAL or begin it anew meanwhile.
    try storage { () throws(SQLiteError) in try connection.execute("BEGIN IMMEDIATE") }
    defer { connection.rollback() }
    try rewrite(descriptor, path)
    guard fdatasync(descriptor) == 0 else { throw .system(call: "fdatasync", path: path, number: errno) }
  }

  /// Rewrites the header and every frame that bears its salts; what lies behind is no part of the WAL.
  private static func rewrite(_ descriptor: CInt, _ path: String) throws(StorageError) {
    var header = [UInt8](repeating: 0, count: headerBytes)
    guard try read(descriptor, &header, at: 0, path) == headerBytes else { return }
    let pageSize = header[8..<12].reduce(0) { $0 << 8 | Int($1) }
    guard (512...65_536).contains(pageSize) else { return }
    try write(descriptor, header, count: headerBytes, at: 0, path)
    let salts = header[16..<24]
    let frameBytes = pageSize + frameHeaderBytes
    var frames = [UInt8](repeating: 0, count: max(1, (1 << 20) / frameBytes) * frameBytes)
    var position = headerBytes
    while true {
      let count = try read(descriptor, &frames, at: position, path) / frameBytes * frameBytes
      var length = 0
      while length < count, frames[length + 8..<length + 16] == salts { length += frameBytes }
      try write(descriptor, frames, count: length, at: position, path)
      guard length == frames.count else { return }
      position += length
    }
  }

  private static func read(
    _ descriptor: CInt, _ bytes: inout [UInt8], at offset: Int, _ path: String
  ) throws(StorageError) -> Int {
    var count = 0
    while count < bytes.count {
      let part = bytes.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress! + count, $0.count - count, offset + count) }
      if part < 0, errno == EINTR { continue }
      guard part >= 0 else { throw .system(call: "read", path: path, number: errno) }
      if part == 0 { break }
      count += part
    }
    return count
  }

  private static func write(
    _ descriptor: CInt, _ bytes: [UInt8], count: Int, at offset: Int, _ path: String
  ) throws(StorageError) {
    var done = 0
    while done < count {
      let part = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress! + done, count - done, offset + done) }
      if part < 0, errno == EINTR { continue }
      guard part > 0 else { throw .system(call: "write", path: path, number: errno) }
      done += part
    }
  }
}
