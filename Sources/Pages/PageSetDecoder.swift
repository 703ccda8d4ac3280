internal import Bytes
public import Model

/// Page sets out of a stream of bytes that come in pieces of any size.
///
/// Memory grows with the bytes that have come, never with what a header promises. After an error the stream is at its end: each
/// further call throws the same.
public struct PageSetDecoder {
  private let payloadBytesMax: Int
  /// What is behind the set that is coming, or the beginning of its header.
  private var buffer: [UInt8] = []
  /// Bytes in front of it were given out already.
  private var start = 0
  private var header: (PageSetHeader, PageSetHeader.Payload)?
  /// What is there of the entries behind `header`.
  private var payload: [UInt8] = []
  /// More is not set aside for what a header promises.
  private static let promisedBytesMax = 4 << 20
  private var failure: PagesError?

  /// - Parameter payloadBytesMax: sets with more bytes of entries are refused.
  public init(payloadBytesMax: Int = Limits.pageSetBytesMax) { self.payloadBytesMax = payloadBytesMax }

  /// Nothing of a set that is not whole yet waits here.
  public var isBetweenSets: Bool { buffer.count == start && header == nil }
  /// What the set that is coming says of itself, once its header is there.
  public var coming: PageSetHeader? { header?.0 }

  public mutating func append(_ bytes: UnsafeRawBufferPointer) {
    if failure != nil { return }
    var bytes = bytes
    if let (_, promised) = header {
      let count = min(bytes.count, promised.byteCount - payload.count)
      payload.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      if count == bytes.count { return }
      bytes = UnsafeRawBufferPointer(rebasing: bytes[count...])
    }
    if start > 0, start >= buffer.count / 2 {
      buffer.removeSubrange(..<start)
      start = 0
    }
    buffer.append(contentsOf: bytes)
  }

  /// The next set; nil if not all of it is there.
  public mutating func next() throws(PagesError) -> PageSet? {
    if let failure { throw failure }
    do throws(PagesError) { return try decode() } catch {
      failure = error
      buffer = []
      payload = []
      start = 0
      throw error
    }
  }

  private mutating func decode() throws(PagesError) -> PageSet? {
    if header == nil {
      guard buffer.count - start >= PageSetHeader.byteCount else { return nil }
      let limit = payloadBytesMax
      header = try buffer.withRawBytes { (bytes: UnsafeRawBufferPointer) throws(PagesError) in
        try PageSetHeader.read(UnsafeRawBufferPointer(rebasing: bytes[start...]), payloadBytesMax: limit)
      }
      start += PageSetHeader.byteCount
      payload.reserveCapacity(min(header!.1.byteCount, Self.promisedBytesMax))
    }
    guard let (fields, promised) = header else { return nil }
    let rest = min(promised.byteCount - payload.count, buffer.count - start)
    payload.append(contentsOf: buffer[start..<start + rest])
    start += rest
    guard payload.count == promised.byteCount else { return nil }
    header = nil
    var bytes: [UInt8] = []
    swap(&bytes, &payload)
    let hash = bytes.withUnsafeBytes { XXH64.of($0) }
    guard hash == promised.hash else { throw .notPageSet("the hash of its entries is wrong") }
    return try PageSet(fields, entryCount: promised.entryCount, payload: bytes, hash: promised.hash)
  }
}
