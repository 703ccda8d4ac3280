internal import Bytes
internal import Model
internal import NIOCore

/// What a fuzzer calls with arbitrary bytes: what this room reads from a socket.
///
/// Any input ends in a value or an error; it never traps, and memory stays within a small multiple of the input.
public enum ShippingFuzzing {
  /// Bytes as a stream of frames: however it is cut, the same comes out of it.
  public static func stream(_ bytes: UnsafeRawBufferPointer) {
    let stream = ByteBuffer(bytes: bytes)
    func cut(_ size: Int) -> [ByteBuffer] {
      var decoder = PeerFrameDecoder(bytesMax: 1 << 16)
      var rest = stream
      var payloads: [ByteBuffer] = []
      do throws(WireError) {
        while rest.readableBytes > 0 {
          decoder.append(rest.readSlice(length: min(rest.readableBytes, size))!)
          while let payload = try decoder.next() { payloads.append(payload) }
        }
      } catch {}
      return payloads
    }
    let whole = cut(.max)
    precondition(cut(1) == whole && cut(7) == whole, "frames in pieces are not those that come at once")
    for payload in whole { message(payload) }
    greet(whole)
  }

  /// Bytes as kind and fields of one message, without the frame, so that what is behind a checksum is reached.
  public static func message(_ bytes: UnsafeRawBufferPointer) { message(ByteBuffer(bytes: bytes)) }

  private static func message(_ payload: ByteBuffer) {
    guard let message = try? PeerMessage.decode(payload) else { return }
    var written = ByteBuffer()
    message.encode(into: &written)
    precondition(written == payload, "\(message.kind) is not written as it was read")
    var decoder = PeerFrameDecoder(bytesMax: Limits.peerFrameBytesMax)
    decoder.append(PeerFrame.encode(message))
    guard payload.readableBytes <= Limits.peerFrameBytesMax else { return }
    precondition((try? decoder.next()) == payload, "\(message.kind) does not come out of its frame")
  }

  /// Nobody gets past a greeting without the secret.
  private static func greet(_ payloads: [ByteBuffer]) {
    let credentials = PeerCredentials(
      identity: PeerIdentity(node: NodeID(1), clusterID: "c", leaderEpoch: .zero), secret: PeerSecret(1...32),
      isLoopback: false,
      nonce: [UInt8](repeating: 7, count: PeerMessage.nonceByteCount))
    var leader = LeaderHandshake(credentials)
    var follower = FollowerHandshake(credentials, intent: .follow)
    for payload in payloads {
      if case .admitted = try? leader.receive(payload) { preconditionFailure("a follower without the secret is let in") }
      if case .admitted = try? follower.receive(payload) { preconditionFailure("a leader without the secret is believed") }
    }
  }
}
