import Glibc
import Storage

/// A short file that only its owner may read.
enum PrivateFile {
  struct Refusal: Error {
    /// The rest of a sentence that begins with the file; nothing of what is in it.
    var words: String
  }

  private static let bytesMax = 4096

  /// - Returns: what is in it, without the newlines that an editor, or echo, puts at its end.
  static func read(_ path: String) throws(Refusal) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw Refusal(words: "cannot be read: \(errorText(errno))") }
    defer { close(descriptor) }
    guard let kind = FileKind(descriptor) else { throw Refusal(words: "cannot be read: \(errorText(errno))") }
    guard kind.isRegular else { throw Refusal(words: "is no file") }
    if kind.permissions & 0o077 != 0 { throw Refusal(words: "is open to other users: chmod 600 \(path)") }
    var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    if count < 0 { throw Refusal(words: "cannot be read: \(errorText(errno))") }
    if count > bytesMax { throw Refusal(words: "is longer than \(bytesMax) bytes") }
    var content = Array(bytes[..<count])
    while let last = content.last, last == 0x0A || last == 0x0D { content.removeLast() }
    return content
  }
}
