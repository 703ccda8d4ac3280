import Shipping

/// The file with what nodes share and nobody else knows.
enum PeerSecretFile {
  /// - Parameter path: nil for no secret.
  /// - Throws: `NodeStartError` that names the file; nothing of what is in it.
  static func read(_ path: String?) throws(NodeStartError) -> PeerSecret? {
    guard let path else { return nil }
    func failure(_ why: String) -> NodeStartError {
      NodeStartError(.configuration, "the secret of the peers in \(path) (quire.peer.secret.file) \(why)")
    }
    let secret: [UInt8]
    do throws(PrivateFile.Refusal) { secret = try PrivateFile.read(path) } catch { throw failure(error.words) }
    guard let secret = PeerSecret(secret) else { throw failure("is shorter than \(PeerSecret.byteCountMin) bytes") }
    return secret
  }
}
