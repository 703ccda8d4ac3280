internal import Model
internal import NIOCore
internal import Pages
internal import Synchronization

/// What a leader has to send of one partition, in order.
enum Outgoing: Sendable {
  /// Page sets, one behind the other, of which `sent` bytes are gone.
  case pages(ByteBuffer, isResync: Bool)
  case wantPageHashes(segmentBase: Int64)
  case highWatermark(Offset)
}

/// A set that is on its way to be sent, for the lag.
struct ShippedSet: Sendable {
  var before: CommitPosition
  var after: CommitPosition
  var bytes: Int
}

struct PageHashes: Sendable {
  var segmentBase: Int64
  var hashes: [UInt64]
}

/// What a thread does with a source while the event loop goes on.
struct LeaderWork: Sendable {
  var hashes: PageHashes?
  var file: FileRequest?
  /// Bytes of page sets to read at most, but for a single set; nil for none.
  var readBytes: Int?
  /// The next set begins or repairs a copy: it may be of any size, and is sent under other rules.
  var isResyncNext = false

  var isEmpty: Bool { hashes == nil && file == nil && readBytes == nil }

  struct Outcome: Sendable {
    var outgoing: [Outgoing] = []
    var sets: [ShippedSet] = []
    var outgoingBytes = 0
    var hasRead = false
    /// There was nothing more to read.
    var isDrained = false
    /// There is a set that begins or repairs a copy, alone.
    var isResync = false
    var file: Result<FileBytes, PeerRefusal>?
    var backlog = ReplicaLag.none
    var failure: PeerRefusal?
  }

  func run(_ source: any ReplicaSource) -> Outcome {
    var outcome = Outcome()
    do throws(PeerRefusal) {
      if let hashes { try source.pageHashes(segmentBase: hashes.segmentBase, hashes.hashes) }
      if let readBytes { try read(source, upTo: readBytes, &outcome) }
    } catch { outcome.failure = error }
    if let file { outcome.file = Self.readFile(source, file) }
    outcome.backlog = source.backlog
    return outcome
  }

  private func read(_ source: any ReplicaSource, upTo limit: Int, _ outcome: inout Outcome) throws(PeerRefusal) {
    outcome.hasRead = true
    var payload = ByteBuffer()
    // The last of several says it all. It may come late, but not before the pages it was raised for.
    var highWatermark: Offset?
    func endPages(_ outcome: inout Outcome) {
      if payload.readableBytes > 0 { outcome.outgoing.append(.pages(payload, isResync: outcome.isResync)) }
      if let highWatermark { outcome.outgoing.append(.highWatermark(highWatermark)) }
      (payload, highWatermark) = (ByteBuffer(), nil)
    }
    while outcome.outgoingBytes < limit, !outcome.isResync {
      guard let change = try source.next(maxBytes: limit - outcome.outgoingBytes) else {
        outcome.isDrained = true
        break
      }
      switch change {
      case .pages(let set):
        // Large sets one by one: what is there would be copied once more.
        if payload.readableBytes + set.encodedByteCount > Limits.peerPieceBytes { endPages(&outcome) }
        payload.reserveCapacity(minimumWritableBytes: set.encodedByteCount)
        set.encode { payload.writeBytes($0) }
        outcome.outgoingBytes += set.encodedByteCount
        outcome.sets.append(
          ShippedSet(before: set.header.before, after: set.header.after, bytes: set.encodedByteCount))
        outcome.isResync = isResyncNext
      case .highWatermark(let offset): highWatermark = offset
      case .wantsPageHashes(let segmentBase):
        endPages(&outcome)
        outcome.outgoing.append(.wantPageHashes(segmentBase: segmentBase))
      }
    }
    endPages(&outcome)
  }

  private static func readFile(_ source: any ReplicaSource, _ file: FileRequest) -> Result<FileBytes, PeerRefusal> {
    do throws(PeerRefusal) {
      let bytes = try source.readFile(
        base: file.base, generation: file.generation, offset: file.offset,
        maxBytes: min(Int(file.maxBytes), Limits.peerFilePieceBytes))
      guard bytes.bytes.readableBytes <= Limits.peerFilePieceBytes, file.offset <= bytes.totalBytes,
        Int64(bytes.bytes.readableBytes) <= bytes.totalBytes - file.offset
      else { return .failure(PeerRefusal(.storage, "a file that has no such bytes")) }
      return .success(bytes)
    } catch { return .failure(error) }
  }
}

/// Wakes an event loop once for any number of calls, until it has looked.
final class WakeUp: Sendable {
  private let isRaised = Atomic(false)
  private let wake: @Sendable () -> Void

  init(_ wake: @escaping @Sendable () -> Void) { self.wake = wake }

  func raise() {
    if !isRaised.exchange(true, ordering: .acquiringAndReleasing) { wake() }
  }

  /// - Precondition: before looking at what it is raised for.
  func lower() { isRaised.store(false, ordering: .sequentiallyConsistent) }
}
