import Glibc
import TestSupport

/// The `quire` that was built with these tests, run as a process of its own.
enum Binary {
  struct Result {
    var status: CInt
    var output: String
    var errors: String
  }

  static let path: String = {
    let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    return getenv("QUIRE").map { String(cString: $0) } ?? "\(root)/.build/debug/quire"
  }()

  /// Runs it to its end.
  ///
  /// - Parameter directory: where what it writes is put meanwhile.
  static func run(_ arguments: [String], in directory: String) throws -> Result {
    let outputs = ["\(directory)/out.\(arguments.hashValue)", "\(directory)/err.\(arguments.hashValue)"]
    defer { for output in outputs { unlink(output) } }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (index, output) in outputs.enumerated() {
      posix_spawn_file_actions_addopen(&actions, CInt(index + 1), output, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    }
    var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var process: pid_t = 0
    let code = posix_spawn(&process, path, &actions, nil, &words, environ)
    guard code == 0 else { throw SystemCallError(call: "posix_spawn \(path)", number: code) }
    var status: CInt = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7F
    return Result(
      status: signal == 0 ? status >> 8 & 0xFF : 128 + signal, output: text(outputs[0]), errors: text(outputs[1]))
  }

  static func bytes(_ path: String) -> [UInt8] {
    guard let file = fopen(path, "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }

  static func write(_ bytes: [UInt8], to path: String) throws {
    guard let file = fopen(path, "w") else { throw SystemCallError(call: "fopen \(path)", number: errno) }
    fwrite(bytes, 1, bytes.count, file)
    fclose(file)
  }

  private static func text(_ path: String) -> String { String(decoding: bytes(path), as: UTF8.self) }
}
