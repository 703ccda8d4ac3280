import Glibc
import Shipping

/// The file with what nodes share and nobody else knows.
enum PeerSecretFile {
  private static let bytesMax = 4096

  /// - Parameter path: nil for no secret.
  /// - Throws: `NodeStartError` that names the file; nothing of what is in it.
  static func read(_ path: String?) throws(NodeStartError) -> PeerSecret? {
    guard let path else { return nil }
    func failure(_ why: String) -> NodeStartError {
      NodeStartError(.configuration, "the secret of the peers in \(path) (quire.peer.secret.file) \(why)")
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { throw failure("cannot be read: \(errorText(errno))") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure("cannot be read: \(errorText(errno))") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw failure("is no file") }
    if status.st_mode & 0o077 != 0 { throw failure("is open to other users: chmod 600 \(path)") }
    var bytes = [UInt8](repeating: 0, count: bytesMax + 1)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    if count < 0 { throw failure("cannot be read: \(errorText(errno))") }
    if count > bytesMax { throw failure("is longer than \(bytesMax) bytes") }
    var secret = bytes[..<count]
    // What an editor, or echo, puts behind it.
    while let last = secret.last, last == 0x0A || last == 0x0D { secret.removeLast() }
    guard let secret = PeerSecret(secret) else { throw failure("is shorter than \(PeerSecret.byteCountMin) bytes") }
    return secret
  }
}
