internal import Bytes
internal import NIOCore

/// Messages as a stream of bytes: see `PeerMessage` for the format.
enum PeerFrame {
  static let headerBytes = 8

  static func encode(_ message: PeerMessage) -> ByteBuffer {
    var (frame, rest) = encodeInParts(message)
    if let rest { frame.writeImmutableBuffer(rest) }
    return frame
  }

  /// - Returns: what comes first, and the bytes of pages or of a file that follow it, which are not copied.
  static func encodeInParts(_ message: PeerMessage) -> (ByteBuffer, ByteBuffer?) {
    var (message, rest) = (message, ByteBuffer?.none)
    switch message {
    case .pages(let stream, let bytes): (message, rest) = (.pages(stream, ByteBuffer()), bytes)
    case .file(var piece):
      rest = piece.bytes
      piece.bytes = ByteBuffer()
      message = .file(piece)
    default: break
    }
    var frame = ByteBuffer()
    frame.writeRepeatingByte(0, count: headerBytes)
    message.encode(into: &frame)
    var sum = checksum(frame.getSlice(at: headerBytes, length: frame.readableBytes - headerBytes)!)
    if let rest { sum = checksum(rest, seed: sum) }
    frame.setInteger(UInt32(frame.readableBytes - headerBytes + (rest?.readableBytes ?? 0)), at: 0)
    frame.setInteger(sum, at: 4)
    return (frame, rest)
  }

  static func checksum(_ payload: ByteBuffer, seed: UInt32 = 0) -> UInt32 {
    payload.withUnsafeReadableBytes { CRC32C.checksum($0, seed: seed) }
  }
}

/// Cuts a stream of bytes into the payloads of frames, whatever the pieces it comes in.
///
/// Memory grows with the bytes that have come, never with what a length promises.
struct PeerFrameDecoder {
  /// Of a payload.
  var bytesMax: Int
  private var buffer = ByteBuffer()

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  /// Bytes of a frame whose end is still to come.
  var bufferedBytes: Int { buffer.readableBytes }

  mutating func append(_ bytes: ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
    } else {
      // What is there may be shared with payloads given out before: it is copied then, which is less than a frame.
      buffer.discardReadBytes()
      buffer.writeImmutableBuffer(bytes)
    }
  }

  /// The next payload: kind and fields; nil until more bytes come.
  ///
  /// - Throws: after which the stream cannot be followed.
  mutating func next() throws(WireError) -> ByteBuffer? {
    guard let (length, checksum) = buffer.getMultipleIntegers(at: buffer.readerIndex, as: (UInt32, UInt32).self) else {
      return nil
    }
    guard length > 0, length <= bytesMax else { throw .implausibleLength(Int64(length)) }
    guard buffer.readableBytes - PeerFrame.headerBytes >= Int(length) else { return nil }
    buffer.moveReaderIndex(forwardBy: PeerFrame.headerBytes)
    let payload = buffer.readSlice(length: Int(length))!
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    guard PeerFrame.checksum(payload) == checksum else { throw .malformed("a frame whose checksum is wrong") }
    return payload
  }
}
