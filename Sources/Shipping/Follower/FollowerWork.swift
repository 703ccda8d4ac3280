internal import Model
internal import NIOCore
internal import Pages

/// What has come for one partition, in order.
enum Incoming: Sendable {
  case pages(ByteBuffer)
  case highWatermark(Offset)
  case file(FilePiece)

  /// What the leader's credit is charged with.
  var byteCount: Int {
    switch self {
    case .pages(let bytes): bytes.readableBytes
    case .highWatermark: 0
    case .file(let piece): piece.bytes.readableBytes
    }
  }
}

/// What a thread does with a sink while the event loop goes on.
struct FollowerWork: Sendable {
  /// A new stream: nothing of the former one goes on. With `forgetsStanding` as if the copy had nothing.
  var begins = false
  var forgetsStanding = false
  var incoming: [Incoming] = []
  /// The database whose page hashes are wanted.
  var hashesOf: Int64?
  var looksForFiles = false

  var isEmpty: Bool { !begins && incoming.isEmpty && hashesOf == nil && !looksForFiles }

  struct Outcome: Sendable {
    var standing: FollowerStanding?
    /// What the leader may send anew.
    var credit = 0
    var durable: Acknowledgement?
    /// The stream is to begin again from what is there now.
    var wishesToBegin = false
    /// The copy differs: nothing of the stream was taken from there on.
    var divergence: String?
    var hashes: PageHashes?
    /// Nil if nobody looked.
    var wantedFiles: [WantedFile]?
    /// All is there that was asked for of a file, or nothing more comes.
    var hasFileEnded = false
    var fileFailure: String?
    var appliedSets = 0
    var appliedBytes = 0
    var fileBytes = 0
    /// Bytes of a set whose end is still to come.
    var arrivingBytes = 0
    /// The stream cannot go on.
    var failure: String?
  }
}

/// Puts what comes into a sink.
///
// Safe because: one thread uses it at a time: a partition has one piece of work under way (`FollowedPartition.isBusy`).
final class ReplicaApplier: @unchecked Sendable {
  private let sink: any ReplicaSink
  private var decoder = PageSetDecoder()
  private var arrivingBytes = 0
  /// The copy differs from what the stream goes on from.
  private var hasDiverged = false
  private var highWatermark: Offset?
  /// The stream goes on from what is here: what that is may be said.
  private var isStreaming = false
  /// What the leader was told last on this stream.
  private var saidComplete: Bool?
  private var durable: CommitPosition?
  /// A file could not be written; the rest of the piece is let pass.
  private var isFileBroken = false

  init(_ sink: any ReplicaSink) { self.sink = sink }

  func run(_ work: FollowerWork) -> FollowerWork.Outcome {
    var outcome = FollowerWork.Outcome()
    if work.begins {
      decoder = PageSetDecoder()
      arrivingBytes = 0
      hasDiverged = false
      isFileBroken = false
      (isStreaming, saidComplete, durable) = (false, nil, nil)
      _ = sink.takeWishToBegin()
      outcome.standing = work.forgetsStanding ? nil : sink.standing
    }
    outcome.credit = work.incoming.reduce(0) { $0 + $1.byteCount }
    do throws(SinkError) {
      try take(work.incoming, &outcome)
      if let base = work.hashesOf {
        outcome.hashes = PageHashes(segmentBase: base, hashes: try sink.pageHashes(segmentBase: base))
      }
      try acknowledge(&outcome)
    } catch { outcome.failure = "\(error)" }
    if outcome.failure == nil, !work.begins { outcome.wishesToBegin = sink.takeWishToBegin() }
    if outcome.failure == nil, work.looksForFiles || outcome.hasFileEnded || outcome.appliedSets > 0 {
      outcome.wantedFiles = sink.wantedFiles
    }
    outcome.arrivingBytes = arrivingBytes
    return outcome
  }

  private func take(_ incoming: [Incoming], _ outcome: inout FollowerWork.Outcome) throws(SinkError) {
    var isHigher = false
    for item in incoming {
      switch item {
      case .pages(let bytes): try append(bytes, &outcome)
      case .highWatermark(let offset):
        highWatermark = offset
        isHigher = true
        isStreaming = true
      case .file(let piece): write(piece, &outcome)
      }
    }
    if outcome.appliedSets > 0 {
      isStreaming = true
      saidComplete = nil
      durable = try sink.sync()
    }
    // Also after a set, because it was bounded by what was there.
    if isHigher || outcome.appliedSets > 0, let highWatermark { sink.raiseHighWatermark(to: highWatermark) }
  }

  /// Says what is durable: after each set, once when the stream goes on from what was here, and when the last file has come, or is found damaged.
  private func acknowledge(_ outcome: inout FollowerWork.Outcome) throws(SinkError) {
    guard isStreaming, !hasDiverged || outcome.appliedSets > 0 else { return }
    let isComplete = sink.isComplete
    guard isComplete != saidComplete else { return }
    if saidComplete != nil || durable == nil { durable = try sink.sync() }
    guard let position = durable else { return }
    saidComplete = isComplete
    outcome.durable = Acknowledgement(position: position, isComplete: isComplete)
  }

  private func append(_ bytes: ByteBuffer, _ outcome: inout FollowerWork.Outcome) throws(SinkError) {
    if hasDiverged { return }
    bytes.withUnsafeReadableBytes { decoder.append($0) }
    arrivingBytes += bytes.readableBytes
    while let set = try next() {
      arrivingBytes -= set.encodedByteCount
      do throws(SinkError) {
        try sink.apply(set)
        outcome.appliedSets += 1
        outcome.appliedBytes += set.encodedByteCount
      } catch {
        guard case .diverged(let words) = error else { throw error }
        hasDiverged = true
        outcome.divergence = words
        return
      }
    }
  }

  private func next() throws(SinkError) -> PageSet? {
    do throws(PagesError) { return try decoder.next() } catch { throw .failed("\(error)") }
  }

  private func write(_ piece: FilePiece, _ outcome: inout FollowerWork.Outcome) {
    if !isFileBroken {
      piece.bytes.withUnsafeReadableBytes { bytes in
        do throws(SinkError) {
          try sink.writeFile(
            base: piece.base, generation: piece.generation, offset: piece.offset, totalBytes: piece.totalBytes, bytes)
          outcome.fileBytes += bytes.count
        } catch {
          isFileBroken = true
          outcome.fileFailure = "\(error)"
        }
      }
    }
    if piece.isLast {
      isFileBroken = false
      outcome.hasFileEnded = true
    }
  }

  func setObserver(_ observer: @escaping @Sendable () -> Void) { sink.setObserver(observer) }

  func close() { sink.close() }
}

extension SinkError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .diverged(let words), .failed(let words): words
    }
  }
}
