internal import Glibc
internal import Model
internal import NIOCore
internal import NIOPosix

/// A connection that only tells a leader that it leads no longer.
///
// Safe because: every stored property is read and written on the connection's event loop only.
final class FenceConversation: PeerRole, @unchecked Sendable {
  private let identity: PeerIdentity
  private let secret: PeerSecret?
  /// Gets how the connection ended: with `.fenced` it did what it was for.
  private let promise: EventLoopPromise<PeerRefusal>
  private var greeting: FollowerHandshake?
  private var connection: PeerConnection?
  private var isBelieved = false

  init(identity: PeerIdentity, secret: PeerSecret?, _ promise: EventLoopPromise<PeerRefusal>) {
    self.identity = identity
    self.secret = secret
    self.promise = promise
  }

  func opened(_ connection: PeerConnection) {
    self.connection = connection
    let handshake = FollowerHandshake(
      PeerCredentials(identity: identity, secret: secret, isLoopback: connection.isLoopback, nonce: PeerCredentials.nonce()),
      intent: .fence)
    greeting = handshake
    connection.send(handshake.hello)
  }

  func received(_ payload: ByteBuffer) throws(PeerRefusal) {
    if let step = try greeting?.receive(payload) {
      switch step {
      case .reply(let message): connection?.send(message)
      case .admitted:
        greeting = nil
        connection?.greeted()
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
