internal import Bytes
internal import Model
internal import NIOCore

/// What a side of a connection goes by in the greeting.
struct PeerCredentials: Sendable {
  var identity: PeerIdentity
  var secret: PeerSecret?
  /// Nobody else can reach the other end.
  var isLoopback: Bool
  var nonce: [UInt8]

  static func nonce() -> [UInt8] {
    // From the operating system's generator, on Linux.
    var generator = SystemRandomNumberGenerator()
    return (0..<PeerMessage.nonceByteCount).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
  }

  /// Why the two do not get on, as far as both have said by now; nil if they do.
  fileprivate func refusal(of other: PeerIdentity, hasSecret: Bool) -> PeerRefusal? {
    if hasSecret != (secret != nil) {
      return PeerRefusal(.secretNeeded, "one of the two nodes has a shared secret, and the other has none")
    }
    if secret == nil, !isLoopback {
      return PeerRefusal(.secretNeeded, "nodes on different machines need a shared secret")
    }
    let ids = (identity.clusterID, other.clusterID)
    if !ids.0.isEmpty, !ids.1.isEmpty, ids.0 != ids.1 {
      return PeerRefusal(.otherCluster, "the node belongs to cluster '\(ids.1)', this one to '\(ids.0)'")
    }
    if other.node == identity.node {
      return PeerRefusal(.sameNode, "both nodes are node \(other.node): give one of them another node.id")
    }
    return nil
  }
}

/// The greeting as the leader has it: nothing is told to whoever has not proved to know the secret, but who this node is.
struct LeaderHandshake {
  struct Admission: Equatable {
    var peer: PeerIdentity
    var intent: PeerHello.Intent
    /// To be sent.
    var welcome: PeerMessage
  }
  enum Step: Equatable {
    case reply(PeerMessage)
    case admitted(Admission)
  }

  private let credentials: PeerCredentials
  private var hello: (message: PeerHello, bytes: [UInt8])?
  private var challenge: [UInt8] = []

  init(_ credentials: PeerCredentials) { self.credentials = credentials }

  /// - Parameter payload: of a frame of the follower.
  mutating func receive(_ payload: ByteBuffer) throws(PeerRefusal) -> Step {
    switch try PeerMessage.reading(payload) {
    case .hello(let message) where hello == nil:
      let own = PeerMessage.versions
      let version = min(own.upperBound, message.versions.upperBound)
      guard own.contains(version), message.versions.contains(version) else {
        throw PeerRefusal(.version, "the node speaks versions \(message.versions) of the protocol, this one \(own)")
      }
      if let refusal = credentials.refusal(of: message.identity, hasSecret: message.hasSecret) { throw refusal }
      hello = (message, Array(payload.readableBytesView))
      let reply = PeerMessage.challenge(
        PeerChallenge(
          version: version, hasSecret: credentials.secret != nil, identity: credentials.identity,
          nonce: credentials.nonce))
      challenge = reply.payload
      return .reply(reply)
    case .proof(let proof):
      guard let hello else { throw .malformed("a proof before a greeting") }
      guard let secret = credentials.secret else {
        guard proof.isEmpty else { throw .malformed("a proof that nobody asked for") }
        return .admitted(Admission(peer: hello.message.identity, intent: hello.message.intent, welcome: .welcome([])))
      }
      guard secret.isProof(proof, of: .follower, hello: hello.bytes, challenge: challenge) else {
        throw PeerRefusal(.wrongSecret, "the node has another secret")
      }
      let own = secret.proof(of: .leader, hello: hello.bytes, challenge: challenge)
      return .admitted(Admission(peer: hello.message.identity, intent: hello.message.intent, welcome: .welcome(own)))
    case .goodbye(let refusal): throw refusal
    default: throw .malformed("a greeting that is none")
    }
  }
}

/// The greeting as the follower has it. It proves first: whoever only knocks at a leader's port gets nothing that depends on the secret.
struct FollowerHandshake {
  enum Step: Equatable {
    case reply(PeerMessage)
    /// The leader is who it says.
    case admitted(PeerIdentity)
  }

  private let credentials: PeerCredentials
  /// The first thing to be sent.
  let hello: PeerMessage
  private var challenge: (message: PeerChallenge, bytes: [UInt8])?

  init(_ credentials: PeerCredentials, intent: PeerHello.Intent) {
    self.credentials = credentials
    hello = .hello(
      PeerHello(
        versions: PeerMessage.versions, intent: intent, hasSecret: credentials.secret != nil, identity: credentials.identity,
        nonce: credentials.nonce))
  }

  /// - Parameter payload: of a frame of the leader.
  mutating func receive(_ payload: ByteBuffer) throws(PeerRefusal) -> Step {
    switch try PeerMessage.reading(payload) {
    case .challenge(let message) where challenge == nil:
      guard PeerMessage.versions.contains(message.version) else {
        throw PeerRefusal(.version, "the leader goes on in version \(message.version) of the protocol")
      }
      if let refusal = credentials.refusal(of: message.identity, hasSecret: message.hasSecret) { throw refusal }
      let bytes = Array(payload.readableBytesView)
      challenge = (message, bytes)
      return .reply(.proof(credentials.secret?.proof(of: .follower, hello: hello.payload, challenge: bytes) ?? []))
    case .welcome(let proof):
      guard let challenge else { throw .malformed("a welcome before a greeting") }
      if let secret = credentials.secret {
        guard secret.isProof(proof, of: .leader, hello: hello.payload, challenge: challenge.bytes) else {
          throw PeerRefusal(.wrongSecret, "the leader has another secret")
        }
      } else if !proof.isEmpty {
        throw .malformed("a proof that nobody asked for")
      }
      return .admitted(challenge.message.identity)
    case .goodbye(let refusal): throw refusal
    default: throw .malformed("a greeting that is none")
    }
  }
}

extension PeerMessage {
  /// `decode`, with what a peer is told about it.
  static func reading(_ payload: ByteBuffer) throws(PeerRefusal) -> PeerMessage {
    do throws(WireError) { return try decode(payload) } catch { throw .malformed("bytes that are no message: \(error)") }
  }

  /// As it stands in a frame.
  fileprivate var payload: [UInt8] {
    var buffer = ByteBuffer()
    encode(into: &buffer)
    return Array(buffer.readableBytesView)
  }
}
