import Model
import NIOCore
import Testing

@testable import Shipping

@Suite("Proofs of peers") struct ProofTests {
  private static func bytes(_ hexadecimal: String) -> [UInt8] {
    stride(from: 0, to: hexadecimal.utf8.count, by: 2).map { at in
      let start = hexadecimal.index(hexadecimal.startIndex, offsetBy: at)
      return UInt8(hexadecimal[start..<hexadecimal.index(start, offsetBy: 2)], radix: 16)!
    }
  }

  /// RFC 4231, §4; its case 5 is about truncated codes.
  private static let vectors: [(key: [UInt8], data: [UInt8], code: String)] = [
    (
      [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    ),
    (
      Array("Jefe".utf8), Array("what do ya want for nothing?".utf8),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    ),
    (
      [UInt8](repeating: 0xaa, count: 20), [UInt8](repeating: 0xdd, count: 50),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"
    ),
    (
      Array(1...25), [UInt8](repeating: 0xcd, count: 50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131), Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    ),
    (
      [UInt8](repeating: 0xaa, count: 131),
      Array(
        "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm."
          .utf8),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"
    ),
  ]

  @Test("HMAC-SHA256 gives what RFC 4231 says", arguments: vectors.indices)
  func vector(index: Int) {
    let (key, data, code) = Self.vectors[index]
    #expect(HMACSHA256.of(data, key: key) == Self.bytes(code))
  }

  @Test("SHA-256 gives what FIPS 180-4 says, at every length around a block's end")
  func hash() {
    #expect(SHA256.of([]) == Self.bytes("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
    #expect(SHA256.of("abc".utf8) == Self.bytes("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))
    let long = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
    #expect(SHA256.of(long.utf8) == Self.bytes("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"))
    // The hash of all hashes of 0 to 200 bytes, from another program.
    let all = (0...200).flatMap { SHA256.of([UInt8](repeating: UInt8($0), count: $0)) }
    #expect(SHA256.of(all) == Self.bytes("29b8bfb16048ea8637507378655acc7e2a9885f925dd36246a6018f158034601"))
  }

  private static func credentials(
    _ node: Int32, secret: PeerSecret? = secret, isLoopback: Bool = false, cluster: String = cluster, nonce: UInt8 = 1
  ) -> PeerCredentials {
    PeerCredentials(
      identity: identity(node, cluster: cluster), secret: secret, isLoopback: isLoopback,
      nonce: [UInt8](repeating: nonce, count: 32))
  }

  private static func payload(_ message: PeerMessage) -> ByteBuffer {
    var buffer = ByteBuffer()
    message.encode(into: &buffer)
    return buffer
  }

  /// - Returns: whom the leader and the follower believe each other to be.
  private static func greet(
    _ leader: PeerCredentials, _ follower: PeerCredentials
  ) throws(PeerRefusal) -> (LeaderHandshake.Admission, PeerIdentity) {
    var leader = LeaderHandshake(leader)
    var follower = FollowerHandshake(follower, intent: .follow)
    guard case .reply(let challenge) = try leader.receive(payload(follower.hello)),
      case .reply(let proof) = try follower.receive(payload(challenge)),
      case .admitted(let admission) = try leader.receive(payload(proof)),
      case .admitted(let identity) = try follower.receive(payload(admission.welcome))
    else { throw .malformed("another order") }
    return (admission, identity)
  }

  @Test("two nodes that know the secret believe each other")
  func sameSecret() throws {
    let (admission, leader) = try Self.greet(Self.credentials(1), Self.credentials(2, nonce: 9))
    #expect(admission.peer == identity(2) && leader == identity(1))
  }

  @Test("a standby without a cluster yet is let in, and so is any node of this machine where nobody has a secret")
  func withoutSecret() throws {
    let (admission, leader) = try Self.greet(
      Self.credentials(1, secret: nil, isLoopback: true), Self.credentials(2, secret: nil, isLoopback: true, cluster: ""))
    #expect(admission.peer.clusterID.isEmpty && leader.clusterID == cluster)
  }

  @Test("nodes that do not belong together say why")
  func refusals() {
    func code(_ leader: PeerCredentials, _ follower: PeerCredentials) -> PeerRefusal.Code? {
      do throws(PeerRefusal) {
        _ = try Self.greet(leader, follower)
        return nil
      } catch { return error.code }
    }
    let other = PeerSecret(Array("another secret, as long".utf8))
    #expect(code(Self.credentials(1), Self.credentials(2, secret: other)) == .wrongSecret)
    #expect(code(Self.credentials(1), Self.credentials(2, secret: nil, isLoopback: true)) == .secretNeeded)
    #expect(code(Self.credentials(1, secret: nil, isLoopback: true), Self.credentials(2)) == .secretNeeded)
    #expect(code(Self.credentials(1, secret: nil), Self.credentials(2, secret: nil)) == .secretNeeded)
    #expect(code(Self.credentials(1), Self.credentials(2, cluster: "another")) == .otherCluster)
    #expect(code(Self.credentials(1), Self.credentials(1)) == .sameNode)
    #expect(PeerSecret(Array("too short".utf8)) == nil)
  }

  @Test("a proof is of one greeting and one side only: neither repeated nor sent back does it open anything")
  func replay() throws {
    var follower = FollowerHandshake(Self.credentials(2), intent: .follow)
    var leader = LeaderHandshake(Self.credentials(1, nonce: 5))
    guard case .reply(let challenge) = try leader.receive(Self.payload(follower.hello)),
      case .reply(let proof) = try follower.receive(Self.payload(challenge))
    else { throw Late() }
    var later = LeaderHandshake(Self.credentials(1, nonce: 6))
    _ = try later.receive(Self.payload(follower.hello))
    #expect(throws: PeerRefusal.self) { try later.receive(Self.payload(proof)) }
    // The follower's own proof as the leader's.
    guard case .proof(let bytes) = proof else { throw Late() }
    #expect(throws: PeerRefusal.self) { try follower.receive(Self.payload(.welcome(bytes))) }
    // And what was not asked for, or comes too early.
    var fresh = LeaderHandshake(Self.credentials(1))
    #expect(throws: PeerRefusal.self) { try fresh.receive(Self.payload(proof)) }
    #expect(throws: PeerRefusal.self) { try fresh.receive(Self.payload(.unfollow(StreamID(rawValue: 1)))) }
  }

  @Test("a greeting of another version is refused, of a range that has this one it is not")
  func versions() throws {
    func hello(_ versions: ClosedRange<UInt16>) -> ByteBuffer {
      Self.payload(
        .hello(
          PeerHello(
            versions: versions, intent: .follow, hasSecret: true, identity: identity(2),
            nonce: [UInt8](repeating: 0, count: 32), extensions: [1, 2, 3])))
    }
    var leader = LeaderHandshake(Self.credentials(1))
    #expect(throws: PeerRefusal.self) { try leader.receive(hello(2...7)) }
    guard case .reply(.challenge(let challenge)) = try leader.receive(hello(0...7)) else { throw Late() }
    #expect(challenge.version == 1)
  }
}
