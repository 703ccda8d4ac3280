internal import Glibc

/// A file with a descriptor of its own, read and written at offsets.
///
/// Database files are opened like this too: the locks that SQLite holds on them are those of another process, and closing a descriptor
/// drops the locks of one's own process alone. No connection to a database is ever open in a process that runs these commands.
final class OpenFile {
  let path: String
  let descriptor: CInt

  /// - Throws: `CommandFailure`; nothing is left open.
  init(_ path: String, flags: CInt = O_RDONLY, mode: mode_t = 0o600) throws {
    self.path = path
    descriptor = open(path, flags | O_CLOEXEC, mode)
    if descriptor < 0 { throw CommandFailure("cannot open '\(path)': \(systemError())") }
  }

  deinit { close(descriptor) }

  func status() throws -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("look at") }
    return status
  }

  func size() throws -> Int { Int(try status().st_size) }

  /// Fills `buffer` from `offset` on, as far as there are bytes before the end of the file.
  ///
  /// - Returns: how many bytes there were.
  func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    var done = 0
    while done < buffer.count {
      let count = pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset + done))
      if count == 0 { break }
      if count > 0 { done += count } else if errno != EINTR { throw failure("read") }
    }
    return done
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset + done))
      if count >= 0 { done += count } else if errno != EINTR { throw failure("write") }
    }
  }

  func truncate(to size: Int) throws {
    guard ftruncate(descriptor, off_t(size)) == 0 else { throw failure("truncate") }
  }

  func sync() throws { guard fsync(descriptor) == 0 else { throw failure("sync") } }

  private func failure(_ verb: String) -> CommandFailure { CommandFailure("cannot \(verb) '\(path)': \(systemError())") }

  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// The bytes of a file by its name; 0 if there is none.
  static func size(_ path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }
}

/// A new file that gets its name only when it is whole and on disk.
final class ReplacingFile {
  private let path: String
  private let temporaryPath: String
  let file: OpenFile
  private var isDone = false

  init(_ path: String, mode: mode_t = 0o600) throws {
    self.path = path
    // What a process that was killed leaves behind is in nobody's way.
    temporaryPath = "\(path).quire-\(getpid())"
    file = try OpenFile(temporaryPath, flags: O_RDWR | O_CREAT | O_EXCL, mode: mode)
  }

  deinit { if !isDone { unlink(temporaryPath) } }

  /// Makes it durable under its name, in place of what had it.
  func finish() throws {
    try file.sync()
    guard rename(temporaryPath, path) == 0 else { throw CommandFailure("cannot rename '\(temporaryPath)': \(systemError())") }
    isDone = true
    let slash = path.lastIndex(of: "/")
    let parent = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    try OpenFile(parent, flags: O_RDONLY | O_DIRECTORY).sync()
  }
}
