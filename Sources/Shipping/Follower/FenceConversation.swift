internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix

/// A connection that only tells a leader that it leads no longer, or asks a node who it is.
///
// Safe because: every stored property is read and written on the connection's event loop only.
final class FenceConversation: PeerRole, @unchecked Sendable {
  private let identity: PeerIdentity
  private let secret: PeerSecret?
  private let intent: PeerHello.Intent
  /// Gets how the connection ended: with `.fenced` it did what it was for.
  private let promise: EventLoopPromise<PeerRefusal>
  /// Gets who the other one is, once it has proved it, or why that is not known. Nil if nobody asked.
  private let answer: EventLoopPromise<PeerIdentity>?
  private var greeting: FollowerHandshake?
  private var connection: PeerConnection?
  private var isBelieved = false

  init(
    identity: PeerIdentity, secret: PeerSecret?, _ promise: EventLoopPromise<PeerRefusal>,
    answer: EventLoopPromise<PeerIdentity>? = nil
  ) {
    self.identity = identity
    self.secret = secret
    self.promise = promise
    self.answer = answer
    intent = answer == nil ? .fence : .ask
  }

  func opened(_ connection: PeerConnection) {
    self.connection = connection
    let handshake = FollowerHandshake(
      PeerCredentials(identity: identity, secret: secret, isLoopback: connection.isLoopback, nonce: PeerCredentials.nonce()),
      intent: intent)
    greeting = handshake
    connection.send(handshake.hello)
  }

  func received(_ payload: ByteBuffer) throws(PeerRefusal) {
    if let step = try greeting?.receive(payload) {
      switch step {
      case .reply(let message): connection?.send(message)
      case .admitted(let other):
        greeting = nil
        connection?.greeted()
        if let answer {
          answer.succeed(other)
          throw PeerRefusal(.disconnected, "the question was answered")
        }
      }
      return
    }
    // The leader lives while its storage works.
    if case .goodbye(let answer) = try PeerMessage.reading(payload) {
      isBelieved = true
      throw answer
    }
  }

  func writable() {}
  func tick(_ now: NIODeadline) {}

  func closed(_ reason: PeerRefusal) {
    // Only a leader that has proved to be the one can say that it is fenced.
    let isUnproven = reason.code == .fenced && !isBelieved
    answer?.fail(reason)
    promise.succeed(isUnproven ? PeerRefusal(.wrongSecret, "somebody else says that the leader is fenced") : reason)
  }
}

extension PeerRefusal {
  /// Why there is no connection.
  init(connecting error: any Error) {
    let words =
      switch error {
      case let error as NIOConnectionError:
        error.connectionErrors.first.map { PeerRefusal(connecting: $0.error).words } ?? "there is no host '\(error.host)'"
      case let error as IOError: String(cString: strerror(error.errnoCode))
      case ChannelError.connectTimeout: "no answer"
      default: "\(error)"
      }
    self.init(.disconnected, words)
  }
}
