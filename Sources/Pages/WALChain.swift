/// A reader's place in a -wal: how many frames it has taken, and the checksum that the next one goes on from.
///
/// A value: whoever keeps one goes on later from where it stands, or goes back by using an older one.
public struct WALChain: Hashable, Sendable {
  public let header: WALHeader
  /// Frames taken so far.
  public private(set) var frameCount = 0
  public private(set) var checksum: WALChecksum

  /// In front of the first frame.
  public init(_ header: WALHeader) {
    self.header = header
    checksum = header.checksum
  }

  /// What the next frame's bytes turned out to be.
  public enum Step: Hashable, Sendable {
    case frame(WALFrame)
    /// Salts of another generation, or no page number: what is here was never a part of this log.
    case leftover
    /// This generation's salts, and a checksum that does not go on from the frame before: half written, or damaged.
    case broken
  }

  /// Takes the next frame if it belongs to the chain; otherwise stays where it is.
  ///
  /// - Precondition: `bytes` are one frame with its header.
  public mutating func take(_ bytes: UnsafeRawBufferPointer) -> Step {
    precondition(bytes.count == header.frameBytes, "a frame is taken whole")
    let number = bytes.word(at: 0)
    guard number != 0, WALSalts(bytes.word(at: 8), bytes.word(at: 12)) == header.salts else { return .leftover }
    var sum = checksum
    sum.add(UnsafeRawBufferPointer(rebasing: bytes[..<8]), bigEndianWords: header.hasBigEndianWords)
    sum.add(
      UnsafeRawBufferPointer(rebasing: bytes[WALHeader.frameHeaderByteCount...]), bigEndianWords: header.hasBigEndianWords)
    guard sum == WALChecksum(bytes.word(at: 16), bytes.word(at: 20)) else { return .broken }
    checksum = sum
    frameCount += 1
    let pageCount = bytes.word(at: 4)
    return .frame(WALFrame(index: frameCount, page: PageNumber(number), pageCount: pageCount == 0 ? nil : Int(pageCount)))
  }
}

/// One frame of a -wal: a version of a page.
public struct WALFrame: Hashable, Sendable {
  /// Counted from 1.
  public var index: Int
  public var page: PageNumber
  /// Pages in the database after the commit that this frame ends; nil in front of its end.
  public var pageCount: Int?

  public init(index: Int, page: PageNumber, pageCount: Int?) {
    self.index = index
    self.page = page
    self.pageCount = pageCount
  }
}
