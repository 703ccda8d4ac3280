internal import Bytes
public import NIOCore

/// What a reader of committed records sees of fetched batches, as a stretch without gaps between its offsets (`LogStretch`).
///
/// Batches are kept byte for byte, but for base offset and leader epoch. Those of a committed transaction lose its mark and their
/// producer, which makes their CRC another. Markers, records of aborted transactions and offsets that no batch has become empty
/// batches.
public struct CommittedStretch: Sendable {
  /// A transaction that was aborted, as a fetch names it (KIP-98).
  public struct AbortedTransaction: Sendable, Hashable {
    public var producerID: Int64
    public var firstOffset: Int64
    public init(producerID: Int64, firstOffset: Int64) {
      self.producerID = producerID
      self.firstOffset = firstOffset
    }
  }

  /// The batches, with their offsets shifted.
  public private(set) var batches = ByteBuffer()
  /// Of the source: where the stretch begins and ends. They are equal if no whole batch was fetched.
  public private(set) var firstOffset: Int64
  public private(set) var nextOffset: Int64
  public private(set) var recordCount = 0

  private var aborted: [AbortedTransaction]
  private var abortedProducers: Set<Int64> = []
  private let shift: Int64
  /// Where the offsets begin that have no batch in the stretch yet.
  private var gapStart: Int64

  public enum Failure: Error, Equatable {
    /// A batch has impossible offsets, or follows the one in front of it by more than `gapMax`.
    case distance(baseOffset: Int64)
    /// A batch begins before the offset where the stretch has to begin: the log is not the one it was.
    case overlap(baseOffset: Int64)
    case bytes(RecordsError, offset: Int64)
  }

  /// Offsets that may lie between two batches: a gap takes a batch of 61 bytes for each 2³¹ of them, and a broker may claim any.
  public static let gapMax: Int64 = 1 << 40

  /// - Parameters:
  ///   - fetched: whole batches in the order of their offsets; the last one may be cut off, and is left out then.
  ///   - position: where the stretch begins. Batches that end before it are passed over.
  ///   - mayBeginEarlier: the stretch is the first, and may begin with a batch that only reaches over `position`.
  ///   - aborted: what the fetch says of the range that it brought.
  ///   - shift: added to every offset.
  public init(
    of fetched: ByteBuffer, from position: Int64, mayBeginEarlier: Bool = false, aborted: [AbortedTransaction] = [],
    shift: Int64 = 0
  ) throws(Failure) {
    self.aborted = aborted.sorted { $0.firstOffset < $1.firstOffset }
    self.shift = shift
    firstOffset = position
    nextOffset = position
    gapStart = position
    var rest = fetched
    var mayBeginEarlier = mayBeginEarlier
    while rest.readableBytes > 0 {
      let header: BatchHeader
      do throws(RecordsError) {
        header = try rest.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(RecordsError) in
          try BatchHeader(ofWhole: bytes)
        }
      } catch {
        if case .truncated = error { break }
        throw .bytes(error, offset: nextOffset)
      }
      let batch = rest.readSlice(length: header.totalBytes)!
      guard header.baseOffset >= 0, header.lastOffsetDelta >= 0, header.nextOffset <= LogStretch.offsetMax,
        header.baseOffset - nextOffset <= Self.gapMax
      else { throw .distance(baseOffset: header.baseOffset) }
      if header.nextOffset <= position { continue }
      if header.baseOffset < nextOffset {
        guard mayBeginEarlier, nextOffset == position else { throw .overlap(baseOffset: header.baseOffset) }
        firstOffset = header.baseOffset
        gapStart = header.baseOffset
      }
      mayBeginEarlier = false
      take(batch, header)
      nextOffset = header.nextOffset
    }
    EmptyBatch.write(gapStart + shift..<nextOffset + shift, to: &batches)
  }

  /// A stretch of offsets that have no records (any more), or its first `gapMax`.
  public init(gap all: Range<Int64>, shift: Int64) {
    let offsets = all.prefix(Int(Self.gapMax))
    self.shift = shift
    aborted = []
    firstOffset = offsets.lowerBound
    nextOffset = offsets.upperBound
    gapStart = offsets.upperBound
    EmptyBatch.write(offsets.lowerBound + shift..<offsets.upperBound + shift, to: &batches)
  }

  private mutating func take(_ batch: ByteBuffer, _ header: BatchHeader) {
    while let next = aborted.first, next.firstOffset <= header.lastOffset {
      abortedProducers.insert(next.producerID)
      aborted.removeFirst()
    }
    if header.isControl {
      abortedProducers.remove(header.producerID)
      return
    }
    if header.isTransactional, abortedProducers.contains(header.producerID) { return }
    EmptyBatch.write(gapStart + shift..<header.baseOffset + shift, to: &batches)
    let start = batches.writerIndex
    batches.writeImmutableBuffer(batch)
    batches.setInteger(header.baseOffset + shift, at: start)
    if header.isTransactional {
      batches.withUnsafeMutableReadableBytes { bytes in
        BatchPatch.clearProducer(in: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
      }
    }
    recordCount += Int(header.recordCount)
    gapStart = header.nextOffset
  }
}
