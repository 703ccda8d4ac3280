internal import Glibc

/// What was typed at prompts before, one entry to a line, in a file that only its owner reads: the last entries of all prompts.
///
/// A file that cannot be written costs the history and nothing else.
struct PromptHistory {
  static let entriesMax = 1000

  let path: String?
  private(set) var entries: [String] = []

  /// - Parameter path: nil remembers nothing beyond this prompt.
  init(path: String?) {
    self.path = path
    guard let path, let text = Self.contents(of: path) else { return }
    let all = text.split(separator: "\n").map(String.init)
    entries = Array(all.suffix(Self.entriesMax))
    // Cut now and then rather than each time: other prompts may append meanwhile.
    if all.count > 2 * Self.entriesMax { rewrite() }
  }

  /// `$XDG_STATE_HOME/quire/history`, else `~/.local/state/quire/history`.
  static var defaultPath: String? {
    if let state = environment("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/quire/history" }
    return environment("HOME").map { $0 + "/.local/state/quire/history" }
  }

  /// Adds an entry, here and in the file.
  mutating func append(_ entry: String) {
    let line = entry.split(whereSeparator: \.isNewline).joined(separator: " ")
    if line.isEmpty || entries.last == line { return }
    entries.append(line)
    if entries.count > Self.entriesMax { entries.removeFirst() }
    guard let path else { return }
    Self.makeDirectories(above: path)
    Self.write(line + "\n", to: path, O_APPEND)
  }

  private func rewrite() {
    guard let path else { return }
    let next = "\(path).\(getpid())"
    guard Self.write(entries.joined(separator: "\n") + "\n", to: next, O_TRUNC), rename(next, path) == 0 else {
      unlink(next)
      return
    }
  }

  private static func contents(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < 16 << 20 {
      let count = read(descriptor, &chunk, chunk.count)
      if count <= 0 { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  @discardableResult
  private static func write(_ text: String, to path: String, _ flag: CInt) -> Bool {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flag, 0o600)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let bytes = Array(text.utf8)
    return Glibc.write(descriptor, bytes, bytes.count) == bytes.count
  }

  private static func makeDirectories(above path: String) {
    var end = path.startIndex
    while let slash = path[path.index(after: end)...].firstIndex(of: "/") {
      mkdir(String(path[..<slash]), 0o700)
      end = slash
    }
  }
}
