/// What both nodes of a pair know and nobody else does. Never printed.
public struct PeerSecret: Sendable {
  private let bytes: [UInt8]

  /// Fewer bytes are guessed by whoever has seen one greeting.
  public static let byteCountMin = 16

  /// Nil for fewer than `byteCountMin` bytes.
  public init?(_ bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    if bytes.count < Self.byteCountMin { return nil }
    self.bytes = bytes
  }

  enum Side: String {
    case follower = "quire peer 1 follower"
    case leader = "quire peer 1 leader"
  }

  /// What shows that one side knows the secret: covers all that both said in their greeting, and which side it is.
  func proof(of side: Side, hello: [UInt8], challenge: [UInt8]) -> [UInt8] {
    HMACSHA256.of(Array(side.rawValue.utf8) + SHA256.of(hello) + SHA256.of(challenge), key: bytes)
  }

  func isProof(_ proof: [UInt8], of side: Side, hello: [UInt8], challenge: [UInt8]) -> Bool {
    let expected = self.proof(of: side, hello: hello, challenge: challenge)
    guard proof.count == expected.count else { return false }
    // As long for a wrong first byte as for a wrong last one.
    return zip(proof, expected).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}

extension PeerSecret: CustomStringConvertible, CustomReflectable {
  public var description: String { "a shared secret" }
  public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
