internal import Model
internal import NIOCore

/// A follower's end of one connection.
///
// Safe because: every stored property is read and written on the client's event loop only, which is the connection's.
final class FollowerConversation: PeerRole, @unchecked Sendable {
  private let core: FollowerCore
  /// Nil once it is over.
  private var greeting: FollowerHandshake?
  private(set) var connection: PeerConnection!
  private(set) var leader: PeerIdentity?
  let openedAt = NIODeadline.now()
  private var streams: [StreamID: FollowedPartition] = [:]
  private var lastStream: UInt32 = 0
  /// What the leader may still send, and what it may send beyond that, once it is worth telling.
  private var window = 0
  private var unsaidCredit = 0
  private var cluster = ArrivingCluster()
  /// Those whose page hashes are to be sent, one after the other.
  private var hashers = CircularBuffer<StreamID>()

  init(core: FollowerCore) { self.core = core }

  var isFollowing: Bool { leader != nil }

  func opened(_ connection: PeerConnection) {
    self.connection = connection
    core.connecting(self)
    let handshake = FollowerHandshake(core.credentials(isLoopback: connection.isLoopback), intent: .follow)
    greeting = handshake
    connection.send(handshake.hello)
  }

  func received(_ payload: ByteBuffer) throws(PeerRefusal) {
    guard let step = try greeting?.receive(payload) else { return try take(try PeerMessage.reading(payload)) }
    switch step {
    case .reply(let message): connection.send(message)
    case .admitted(let leader):
      greeting = nil
      self.leader = leader
      connection.greeted()
      connection.send(.credit(UInt32(Limits.peerWindowBytes)))
      window = Limits.peerWindowBytes
      core.connected(self, leader)
    }
  }

  private func take(_ message: PeerMessage) throws(PeerRefusal) {
    switch message {
    case .ping: break
    case .goodbye(let refusal): throw refusal
    case .pages(let id, let bytes): try take(.pages(bytes), id)
    case .file(let piece):
      guard let partition = streams[piece.stream] else { return try charge(piece.bytes.readableBytes, isDropped: true) }
      guard let file = partition.files.first, file.base == piece.base, file.generation == piece.generation,
        piece.offset >= file.offset, piece.offset + Int64(piece.bytes.readableBytes) <= file.offset + Int64(file.maxBytes)
      else { throw .malformed("a piece of a file that nobody asked for") }
      if piece.isLast { partition.files.removeFirst() }
      // Its leader reads it while this one comes.
      let next = file.offset + Int64(file.maxBytes)
      if piece.offset == file.offset, next < piece.totalBytes {
        want(WantedFile(base: file.base, generation: file.generation, have: next), of: partition)
      }
      try take(.file(piece), piece.stream)
    case .highWatermark(let id, let offset):
      if let partition = streams[id] {
        partition.highWatermark = offset
        if partition.state != .resyncing { partition.state = .streaming }
      }
      try take(.highWatermark(offset), id)
    case .wantPageHashes(let id, let segmentBase):
      guard let partition = streams[id] else { return }
      wantHashes(of: partition, segmentBase)
    case .noFile(let id, _, _):
      guard let partition = streams[id] else { return }
      if !partition.files.isEmpty { partition.files.removeFirst() }
      core.lookForFilesLater(partition)
    case .refused(let id, let refusal):
      guard let partition = streams.removeValue(forKey: id) else { return }
      core.failed(partition, refusal.words)
    case .lag(let id, let lag): streams[id]?.lag = lag
    case .clusterBegins(let isSnapshot): try cluster.begin(isSnapshot: isSnapshot)
    case .topic(let topic): try cluster.set(topic)
    case .topicRemoved(let id): try cluster.remove(id)
    case .clusterEnds(let head): core.clusterChanged(try cluster.end(head))
    default: throw .malformed("\(message.kind) is what a follower says")
    }
  }

  private func take(_ item: Incoming, _ id: StreamID) throws(PeerRefusal) {
    let partition = streams[id]
    try charge(item.byteCount, isDropped: partition == nil)
    guard let partition else { return }
    partition.bytes += Int64(item.byteCount)
    if case .highWatermark = item, case .highWatermark? = partition.incoming.last { partition.incoming.removeLast() }
    partition.incoming.append(item)
    core.work(on: partition)
  }

  // Credit

  private func charge(_ byteCount: Int, isDropped: Bool) throws(PeerRefusal) {
    window -= byteCount
    guard window >= 0 else { throw PeerRefusal(.tooMuch, "more than the leader has credit for") }
    if isDropped { giveBack(byteCount) }
  }

  /// What has come was worked on: as much may come anew.
  func giveBack(_ byteCount: Int) {
    unsaidCredit += byteCount
    guard unsaidCredit >= Limits.peerWindowBytes / 8 else { return }
    window += unsaidCredit
    connection.send(.credit(UInt32(unsaidCredit)))
    unsaidCredit = 0
  }

  // Streams

  func follow(_ partition: FollowedPartition, from standing: FollowerStanding?) {
    lastStream += 1
    let id = StreamID(rawValue: lastStream)
    partition.stream = id
    partition.durable = standing?.position
    streams[id] = partition
    connection.send(
      .follow(
        FollowRequest(stream: id, partition: partition.partition, topicID: partition.topicID, standing: standing)))
  }

  /// Ends the partition's stream, if it has one here.
  func unfollow(_ partition: FollowedPartition) {
    if let id = partition.stream {
      streams[id] = nil
      connection.send(.unfollow(id))
    }
    giveBack(partition.reset())
    hashNext()
  }

  func durable(_ partition: FollowedPartition, _ acknowledged: Acknowledgement) {
    partition.durable = acknowledged.position
    if let id = partition.stream { connection.send(.durable(id, acknowledged)) }
  }

  func want(_ file: WantedFile, of partition: FollowedPartition) {
    guard let id = partition.stream, partition.files.count < Limits.peerFilesUnderWayMax else { return }
    let request = FileRequest(
      stream: id, base: file.base, generation: file.generation, offset: file.have,
      maxBytes: UInt32(Limits.peerFilePieceBytes))
    partition.files.append(request)
    connection.send(.wantFile(request))
  }

  /// Bytes of sets whose end is still to come, over all partitions, must not become more and more.
  func boundArriving() {
    let sum = streams.values.reduce(0) { $0 + $1.arrivingBytes }
    if sum > Limits.peerArrivingBytesMax { connection.close(PeerRefusal(.tooMuch, "too many large page sets at once")) }
  }

  // Page hashes

  func wantHashes(of partition: FollowedPartition, _ segmentBase: Int64) {
    guard let id = partition.stream else { return }
    partition.hashesWanted = segmentBase
    partition.state = .resyncing
    if !hashers.contains(id) { hashers.append(id) }
    hashNext()
  }

  /// Lets the first that waits have its hashes computed.
  private func hashNext() {
    while let id = hashers.first {
      if let partition = streams[id], partition.hashesWanted != nil || partition.mayHash {
        guard connection.isWritable else { return }
        partition.mayHash = true
        return core.work(on: partition)
      }
      hashers.removeFirst()
    }
  }

  func send(_ hashes: PageHashes, of partition: FollowedPartition) {
    guard let id = partition.stream else { return }
    partition.mayHash = false
    let step = Limits.peerPieceBytes / 8
    var start = 0
    repeat {
      let end = min(hashes.hashes.count, start + step)
      connection.send(
        .pageHashes(
          HashPiece(
            stream: id, segmentBase: hashes.segmentBase, totalCount: hashes.hashes.count, start: start,
            hashes: Array(hashes.hashes[start..<end]))))
      start = end
    } while start < hashes.hashes.count
    hashNext()
  }

  func writable() { hashNext() }
  func tick(_ now: NIODeadline) {}
  func closed(_ reason: PeerRefusal) {
    streams = [:]
    core.disconnected(self, reason)
  }
}
