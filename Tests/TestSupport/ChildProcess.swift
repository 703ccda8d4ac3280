public import Glibc

/// A program that a test runs beside itself; it is killed with the object at the latest.
public final class ChildProcess: @unchecked Sendable {
  // Safe because: one test has it, which does one thing at a time.
  public private(set) var id: pid_t?

  /// Starts `arguments[0]` with the environment of the test; its output goes to the file `log`.
  public init(_ arguments: [String], log: String) throws {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, 1, 2)
    var words: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var child = pid_t()
    let result = posix_spawn(&child, arguments[0], &actions, nil, &words, environ)
    guard result == 0 else { throw ChildProcessError(description: "\(arguments[0]) cannot be started: \(result)") }
    id = child
  }

  deinit { end(SIGKILL) }

  public func signal(_ number: Int32) { if let id { kill(id, number) } }

  /// Sends the signal and waits until the process has ended.
  public func end(_ number: Int32 = SIGTERM) {
    guard let id else { return }
    self.id = nil
    kill(id, number)
    // A stopped process does not die of SIGTERM.
    kill(id, SIGCONT)
    var status: Int32 = 0
    while waitpid(id, &status, 0) == -1, errno == EINTR {}
  }

  /// Whether the process has ended by itself.
  public var hasEnded: Bool {
    guard let id else { return true }
    var status: Int32 = 0
    guard waitpid(id, &status, WNOHANG) == id else { return false }
    self.id = nil
    return true
  }
}

struct ChildProcessError: Error, CustomStringConvertible { let description: String }

/// A port of 127.0.0.1 that nobody listens on at this moment.
public func freePort() -> Int {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  return withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
      guard bind(descriptor, address, length) == 0, getsockname(descriptor, address, &length) == 0 else { return 0 }
      return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
  }
}
