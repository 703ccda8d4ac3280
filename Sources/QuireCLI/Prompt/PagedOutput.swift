internal import CEdit
internal import Glibc

/// Output that goes to the terminal if it fits on the screen, else through a pager: `$PAGER`, or `less`, which does not fold lines.
///
// Safe because: whoever made it waits while one other writes to it.
final class PagedOutput: @unchecked Sendable {
  private let size: (rows: Int, columns: Int)
  private var held: [UInt8] = []
  private var lines = 0
  private var column = 0
  private var pager: (process: pid_t, input: CInt)?
  private var isPlain: Bool
  /// Whether a pager was started.
  private(set) var hasPager = false

  /// - Parameter isPaged: false for a person who wants none.
  init(isPaged: Bool) {
    let size = Screen.size
    self.size = size ?? (0, 0)
    isPlain = !isPaged || size == nil || Self.command == nil
  }

  private static var command: String? {
    guard let pager = getenv("PAGER") else { return "less -SR" }
    let command = String(cString: pager)
    return command.allSatisfy(\.isWhitespace) || command == "cat" ? nil : command
  }

  /// - Throws: `OutputClosed` when the pager was left.
  func write(_ bytes: UnsafeRawBufferPointer) throws {
    if isPlain { return try Self.put(bytes, to: STDOUT_FILENO) }
    if let pager { return try Self.put(bytes, to: pager.input) }
    held.append(contentsOf: bytes)
    if !fits(bytes) { try startPager() }
  }

  /// Writes what was held back; waits until the pager is left.
  func finish() throws {
    if pager != nil {
      close()
    } else {
      let bytes = held
      held = []
      try bytes.withUnsafeBytes { try Self.put($0, to: STDOUT_FILENO) }
    }
  }

  /// Ends the pager's input and waits until it is left.
  func close() {
    guard let pager else { return }
    Glibc.close(pager.input)
    var status: CInt = 0
    while waitpid(pager.process, &status, 0) < 0, errno == EINTR {}
    self.pager = nil
  }

  /// Whether everything up to and with `bytes` is shorter than the screen, and narrower: a long line is folded over several.
  private func fits(_ bytes: UnsafeRawBufferPointer) -> Bool {
    for byte in bytes {
      if byte == 0x0A {
        lines += 1
        column = 0
      } else if byte & 0xC0 != 0x80 {
        column += 1
        if column > size.columns {
          lines += 1
          column = 1
        }
      }
    }
    return lines < size.rows - 1
  }

  private func startPager() throws {
    var ends: [CInt] = [-1, -1]
    guard let command = Self.command, cedit_pipe(&ends, 0) == 0 else { return try giveUp() }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // Signals that are ignored here would be ignored there.
    var signals = sigset_t()
    sigemptyset(&signals)
    for number in [SIGINT, SIGPIPE, SIGTERM] { sigaddset(&signals, number) }
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    var process: pid_t = 0
    let arguments: [UnsafeMutablePointer<CChar>?] = ["sh", "-c", command].map { (word: String) in strdup(word) } + [nil]
    defer { for argument in arguments { free(argument) } }
    let result = posix_spawn(&process, "/bin/sh", &actions, &attributes, arguments, environ)
    Glibc.close(ends[0])
    guard result == 0 else {
      Glibc.close(ends[1])
      return try giveUp()
    }
    pager = (process, ends[1])
    hasPager = true
    let bytes = held
    held = []
    try bytes.withUnsafeBytes { try Self.put($0, to: ends[1]) }
  }

  private func giveUp() throws {
    isPlain = true
    try finish()
  }

  private static func put(_ bytes: UnsafeRawBufferPointer, to descriptor: CInt) throws {
    let output = OutputStream(descriptor: descriptor)
    try output.write(bytes)
    try output.flush()
  }
}
