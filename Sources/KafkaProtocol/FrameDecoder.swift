public import Bytes
public import Model
public import NIOCore

/// Cuts a stream of bytes into frames: each a four-byte length and that many bytes.
///
/// What arrived with a frame is not copied: the frame is a slice of it. Only the beginning of a frame whose end is still to
/// come is moved into a buffer of its own, because the one it came in belongs to those who hold the frames before it.
public struct FrameDecoder: Sendable {
  /// Bytes of a frame, its length not counted.
  public let frameBytesMax: Int

  private var buffer = ByteBuffer()
  /// Whether nobody else holds `buffer`'s storage, so that appending to it copies nothing else.
  private var isOwned = false

  public init(frameBytesMax: Int = Limits.requestBytesMax) { self.frameBytesMax = frameBytesMax }

  /// Bytes that wait for the end of their frame, or to be asked for by `next`.
  public var bufferedBytes: Int { buffer.readableBytes }

  /// Takes what the socket gave.
  public mutating func append(_ bytes: ByteBuffer) {
    if buffer.readableBytes == 0 {
      buffer = bytes
      isOwned = false
    } else {
      buffer.writeImmutableBuffer(bytes)
    }
  }

  /// The next whole frame without its length; nil until more bytes arrive.
  ///
  /// - Throws: `implausibleLength` if the length is negative or too large. The stream cannot be followed any further.
  public mutating func next() throws(WireError) -> ByteBuffer? {
    guard let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self) else {
      keepBeginning(ofFrame: 4)
      return nil
    }
    guard length >= 0, length <= frameBytesMax else { throw .implausibleLength(Int64(length)) }
    guard buffer.readableBytes - 4 >= length else {
      keepBeginning(ofFrame: 4 + Int(length))
      return nil
    }
    buffer.moveReaderIndex(forwardBy: 4)
    let frame = buffer.readSlice(length: Int(length))
    isOwned = false
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    return frame
  }

  /// Makes room for the rest of a frame of `total` bytes: all of it at once for most frames, but never more than sixteen times
  /// what has arrived, lest ten thousand connections that promise 100 MiB and send nothing be believed.
  private mutating func keepBeginning(ofFrame total: Int) {
    let arrived = buffer.readableBytes
    if arrived == 0 { return buffer = ByteBuffer() }
    let room = min(total, max(1024, 16 * arrived))
    if isOwned {
      if buffer.writableBytes < min(total - arrived, arrived) { buffer.reserveCapacity(buffer.readerIndex + room) }
      return
    }
    var own = ByteBufferAllocator().buffer(capacity: room)
    own.writeImmutableBuffer(buffer)
    buffer = own
    isOwned = true
  }
}
