import Glibc
import Model
import NIOCore
import NIOPosix

@testable import Shipping

/// Threads for calls that block: the tests' own are few, and others wait for them.
private let blockingThreads: NIOThreadPool = {
  let pool = NIOThreadPool(numberOfThreads: 8)
  pool.start()
  return pool
}()

private func blocking<R: Sendable>(_ body: @escaping @Sendable () throws -> R) async throws -> R {
  try await blockingThreads.runIfActive { try body() }
}

/// One end of a connection that says what a test tells it, and is as rude as it likes.
///
// Safe because: a test waits for each call before the next one.
final class RawPeer: @unchecked Sendable {
  private let descriptor: CInt
  private var decoder = PeerFrameDecoder(bytesMax: 1 << 20)

  /// Connects to a port of this machine.
  init(port: Int) throws {
    descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    address.sin_port = in_port_t(UInt16(port).bigEndian)
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw SocketError(number: errno) }
    wait(seconds: 60)
  }

  struct SocketError: Error { var number: CInt }

  /// Takes over an accepted connection.
  init(descriptor: CInt) {
    self.descriptor = descriptor
    wait(seconds: 60)
  }

  deinit { close(descriptor) }

  private func wait(seconds: Int) {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  /// - Returns: false if the other end has closed the connection.
  @discardableResult
  func send(_ bytes: [UInt8]) async throws -> Bool { try await blocking { self.write(bytes) } }

  @discardableResult
  private func write(_ bytes: [UInt8]) -> Bool {
    bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) } == bytes.count
  }

  @discardableResult
  func send(_ messages: PeerMessage...) async throws -> Bool {
    // At once, so that they are read at once.
    try await send(messages.flatMap { Array(PeerFrame.encode($0).readableBytesView) })
  }

  private func write(_ message: PeerMessage) { write(Array(PeerFrame.encode(message).readableBytesView)) }

  /// The next payload; nil at the end of the connection.
  private func receive() -> ByteBuffer? {
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      if let payload = try? decoder.next() { return payload }
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count <= 0 { return nil }
      decoder.append(ByteBuffer(bytes: chunk[..<count]))
    }
  }

  /// Reads until a partition is to be followed.
  func receiveFollow() async throws -> StreamID? {
    try await blocking {
      while let payload = self.receive() {
        if case .follow(let request) = try? PeerMessage.decode(payload) { return request.stream }
      }
      return nil
    }
  }

  /// Reads until the other end closes the connection.
  ///
  /// - Returns: why it says it does.
  func receiveEnd() async throws -> PeerRefusal? {
    try await blocking {
      while let payload = self.receive() {
        if case .goodbye(let refusal) = try? PeerMessage.decode(payload) { return refusal }
      }
      return nil
    }
  }

  /// Something has come that is not read yet, be it the connection's end.
  var isReadable: Bool {
    var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&ready, 1, 0) == 1
  }

  /// Goes through the greeting as a follower.
  func greet(as identity: PeerIdentity, secret: PeerSecret? = secret) async throws {
    try await blocking { try self.greetNow(identity, secret) }
  }

  private func greetNow(_ identity: PeerIdentity, _ secret: PeerSecret?) throws {
    var handshake = FollowerHandshake(
      PeerCredentials(identity: identity, secret: secret, isLoopback: true, nonce: PeerCredentials.nonce()), intent: .follow)
    write(handshake.hello)
    while let payload = receive() {
      switch try handshake.receive(payload) {
      case .reply(let message): write(message)
      case .admitted: return
      }
    }
    throw SocketError(number: 0)
  }

  /// Goes through the greeting as a leader.
  func welcome(as identity: PeerIdentity, secret: PeerSecret? = secret) async throws {
    try await blocking { try self.welcomeNow(identity, secret) }
  }

  private func welcomeNow(_ identity: PeerIdentity, _ secret: PeerSecret?) throws {
    var handshake = LeaderHandshake(
      PeerCredentials(identity: identity, secret: secret, isLoopback: true, nonce: PeerCredentials.nonce()))
    while let payload = receive() {
      switch try handshake.receive(payload) {
      case .reply(let message): write(message)
      case .admitted(let admission):
        write(admission.welcome)
        return
      }
    }
    throw SocketError(number: 0)
  }
}

/// A port whose connections a test takes one by one.
final class RawPort: Sendable {
  private let descriptor: CInt
  let port: Int

  init() throws {
    descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    port = try withUnsafeMutablePointer(to: &address) { pointer in
      try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard bind(descriptor, address, length) == 0, listen(descriptor, 16) == 0,
          getsockname(descriptor, address, &length) == 0
        else { throw RawPeer.SocketError(number: errno) }
      }
      return Int(UInt16(bigEndian: pointer.pointee.sin_port))
    }
  }

  deinit { close(descriptor) }

  func accept() async throws -> RawPeer {
    try await blocking {
      var ready = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, 60_000) == 1 else { throw RawPeer.SocketError(number: ETIMEDOUT) }
      let connection = Glibc.accept(self.descriptor, nil, nil)
      guard connection >= 0 else { throw RawPeer.SocketError(number: errno) }
      return RawPeer(descriptor: connection)
    }
  }
}
