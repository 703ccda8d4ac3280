internal import Glibc

/// Runs `body` with a new directory, removed afterwards with everything in it.
public func withTemporaryDirectory<R>(_ body: (String) throws -> R) throws -> R {
  let path = try makeTemporaryDirectory()
  defer { removeTree(path) }
  return try body(path)
}

/// `withTemporaryDirectory` for bodies that wait.
public func withTemporaryDirectory<R>(_ body: (String) async throws -> R) async throws -> R {
  let path = try makeTemporaryDirectory()
  defer { removeTree(path) }
  return try await body(path)
}

/// A failed system call of a test's own.
public struct SystemCallError: Error {
  public var call: String
  public var number: CInt

  public init(call: String, number: CInt) {
    self.call = call
    self.number = number
  }
}

public func makeTemporaryDirectory() throws -> String {
  let root = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
  var template = Array("\(root)/quire-test-XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw SystemCallError(call: "mkdtemp", number: errno) }
  return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

public func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// The names in a directory, without `.` and `..`.
public func directoryEntries(_ path: String) throws -> [String] {
  guard let directory = opendir(path) else { throw SystemCallError(call: "opendir \(path)", number: errno) }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}

/// Removes a file, or a directory with everything in it.
public func removeTree(_ path: String) {
  if let names = try? directoryEntries(path) {
    for name in names { removeTree("\(path)/\(name)") }
    rmdir(path)
  } else {
    unlink(path)
  }
}
