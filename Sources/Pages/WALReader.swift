/// The frames of one commit.
public struct WALCommit: Hashable, Sendable {
  /// The frames it was written in, counted from 1.
  public var frames: ClosedRange<Int>
  /// Pages in the database after it.
  public var pageCount: Int
  /// The last version of each page it changed, in the order of the pages.
  public var pages: [WALFrame]
}

/// Reads the commits of a -wal one after the other, and goes on where it stopped when there are more.
///
/// The bytes come from the caller, who may read a file that grows meanwhile: a commit is taken only when every frame of it is there.
public struct WALReader {
  /// The place behind the last commit that was returned.
  public private(set) var chain: WALChain
  private var buffer: [UInt8] = []
  /// Frames that are in `buffer`, counted from 1; those the chain has passed already are in front.
  private var bufferedFrames = 1..<1
  /// `buffer` was read during this call: what is behind the last commit in it may have been half written, but is what is there now.
  private var isFresh = false

  /// Bytes that are asked for at once, at least one frame.
  private static let readBytes = 256 << 10

  /// - Parameter chain: where an earlier reader stood.
  public init(from chain: WALChain) { self.chain = chain }

  /// Why there is no further commit now.
  public enum End: Hashable, Sendable {
    /// Behind the last commit nothing of this log follows, or frames without a commit mark (`uncommitted`): of a transaction that
    /// runs, or was rolled back.
    case end(uncommitted: Int)
    /// Frame `frame` has this log's salts and does not verify, or the file ends inside of it: it is being written, was when the
    /// machine stopped, or is damaged.
    case torn(frame: Int)
    /// The file was begun anew: what the reader stands behind is no longer there. Nil where it has no valid header just now.
    case restarted(WALHeader?)
  }

  public enum Outcome: Hashable, Sendable {
    case commit(WALCommit)
    case end(End)
  }

  /// The next commit, or why there is none.
  ///
  /// Reads the header first, each time: a reader that comes late would take the frames of another log for the next ones otherwise.
  ///
  /// - Parameter read: fills the buffer with bytes of the file from an offset, and returns how many there were before its end.
  public mutating func next<E: Error>(
    read: (_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> Outcome {
    if let end = try restart(read) { return .end(end) }
    var ahead = chain
    // A commit of a thousand pages is rare, one of some dozen is not.
    var latest: [PageNumber: WALFrame] = [:]
    isFresh = false
    while true {
      let found = try step(&ahead, read)
      switch found {
      case .frame(let frame):
        latest[frame.page] = frame
        guard let pageCount = frame.pageCount else { continue }
        let pages = latest.values.filter { $0.page.rawValue <= pageCount }.sorted { $0.page < $1.page }
        let commit = WALCommit(frames: chain.frameCount + 1...frame.index, pageCount: pageCount, pages: pages)
        chain = ahead
        return .commit(commit)
      case _ where !isFresh:
        // Read ahead by an earlier call: frames of an open transaction are written again, and end differently now.
        bufferedFrames = 1..<1
        isFresh = true
        ahead = chain
        latest.removeAll(keepingCapacity: true)
      case .leftover: return .end(.end(uncommitted: ahead.frameCount - chain.frameCount))
      case .broken: return .end(.torn(frame: ahead.frameCount + 1))
      }
    }
  }

  private func restart<E: Error>(
    _ read: (Int, UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> End? {
    let found = try Self.header(read: read)
    switch found {
    case .success(let header): return header.salts == chain.header.salts ? nil : .restarted(header)
    case .failure: return .restarted(nil)
    }
  }

  /// The header of a -wal.
  public static func header<E: Error>(
    read: (_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> Result<WALHeader, WALHeader.Unreadable> {
    var bytes = [UInt8](repeating: 0, count: WALHeader.byteCount)
    let count = try bytes.withRaw { (buffer: UnsafeMutableRawBufferPointer) throws(E) -> Int in try read(0, buffer) }
    return bytes.withUnsafeBytes { buffer in
      do throws(WALHeader.Unreadable) {
        return .success(try WALHeader(UnsafeRawBufferPointer(rebasing: buffer[..<count])))
      } catch { return .failure(error) }
    }
  }

  /// `.leftover` at the end of the file, `.broken` where it ends inside of the frame.
  private mutating func step<E: Error>(
    _ ahead: inout WALChain, _ read: (Int, UnsafeMutableRawBufferPointer) throws(E) -> Int
  ) throws(E) -> WALChain.Step {
    let index = ahead.frameCount + 1
    let frameBytes = ahead.header.frameBytes
    if !bufferedFrames.contains(index) {
      let frames = max(1, Self.readBytes / frameBytes)
      if buffer.count != frames * frameBytes { buffer = [UInt8](repeating: 0, count: frames * frameBytes) }
      let offset = ahead.header.byteOffset(ofFrame: index)
      let count = try buffer.withRaw { (bytes: UnsafeMutableRawBufferPointer) throws(E) -> Int in try read(offset, bytes) }
      bufferedFrames = index..<index + count / frameBytes
      isFresh = isFresh || index == chain.frameCount + 1
      if bufferedFrames.isEmpty { return count == 0 ? .leftover : .broken }
    }
    let start = (index - bufferedFrames.lowerBound) * frameBytes
    return buffer.withUnsafeBytes { ahead.take(UnsafeRawBufferPointer(rebasing: $0[start..<start + frameBytes])) }
  }
}

extension Array where Element == UInt8 {
  /// `withUnsafeMutableBytes` with typed throws.
  mutating func withRaw<R, E: Error>(_ body: (UnsafeMutableRawBufferPointer) throws(E) -> R) throws(E) -> R {
    var outcome: Result<R, E>?
    withUnsafeMutableBytes { bytes in
      do throws(E) { outcome = .success(try body(bytes)) } catch { outcome = .failure(error) }
    }
    return try outcome!.get()
  }
}
