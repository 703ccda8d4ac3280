internal import Logging
internal import Model
internal import NIOCore
internal import NIOPosix

/// A leader's end of a connection: who the follower is, what it follows, and what it is told.
///
// Safe because: every stored property is read and written on the connection's event loop only.
final class LeaderConversation: PeerRole, @unchecked Sendable {
  private enum Phase {
    case greeting(LeaderHandshake)
    /// A thread decides whether it is served; what it says meanwhile waits.
    case admitting([ByteBuffer])
    case following
    /// What comes is not looked at any more.
    case ending
  }

  let core: ListenerCore
  private(set) var connection: PeerConnection!
  private(set) var peer: PeerIdentity?
  /// It was admitted; others only ask, or tell.
  private(set) var isFollower = false
  /// Among those whose greeting is over; set before anybody else sees it.
  private(set) var place = 0
  private var phase = Phase.ending
  private var earlyBytes = 0
  var streams: [StreamID: LeaderStream] = [:]
  /// The highest number that a stream had.
  private var lastStream: UInt32 = 0
  private var hashCount = 0
  /// The sources that threads still have to close.
  private var openSources = 0
  private(set) var isClosed = false
  private var lagToldAt = NIODeadline.now()

  // Sending: see the extension
  var turns = CircularBuffer<SendTurn>()
  var credit = 0
  var waitingBytes = 0
  var readers = CircularBuffer<StreamID>()
  var resyncing: StreamID?
  var resyncers = CircularBuffer<StreamID>()
  var fileReaders = CircularBuffer<StreamID>()
  var isReadingFile = false
  var file: FilePiece?
  var nextFile: FilePiece?
  var throttle: Throttle
  var throttled: [SendTurn] = []

  // The cluster
  private var toldCluster: ShippedCluster?
  private var clusterMessages = CircularBuffer<PeerMessage>()

  init(core: ListenerCore) {
    self.core = core
    throttle = Throttle(bytesPerSecond: core.catchUpBytesPerSecond, now: .now())
  }

  var loop: any EventLoop { connection.loop }

  // Greeting

  func opened(_ connection: PeerConnection) throws(PeerRefusal) {
    self.connection = connection
    try core.opened(self)
    let credentials = PeerCredentials(
      identity: core.identity, secret: core.configuration.secret, isLoopback: connection.isLoopback,
      nonce: PeerCredentials.nonce())
    phase = .greeting(LeaderHandshake(credentials))
  }

  func received(_ payload: ByteBuffer) throws(PeerRefusal) {
    switch phase {
    case .greeting(var handshake):
      let step = try handshake.receive(payload)
      phase = .greeting(handshake)
      switch step {
      case .reply(let message): connection.send(message)
      case .admitted(let admission): admit(admission)
      }
    case .admitting(var early):
      early.append(payload)
      earlyBytes += payload.readableBytes
      guard earlyBytes <= Limits.peerEarlyBytesMax else { throw PeerRefusal(.tooMuch, "too much before it is admitted") }
      phase = .admitting(early)
    case .following: try take(try PeerMessage.reading(payload))
    case .ending: break
    }
  }

  private func admit(_ admission: LeaderHandshake.Admission) {
    let peer = admission.peer
    self.peer = peer
    place = core.takePlace()
    connection.greeted()
    connection.send(admission.welcome)
    let own = core.identity.leaderEpoch
    if admission.intent == .ask {
      // It has heard what it wanted to know, and closes.
      phase = .ending
    } else if peer.leaderEpoch > own {
      fence(peer)
    } else if admission.intent == .fence {
      phase = .ending
      connection.close(PeerRefusal(.staleEpoch, "this node is at leader epoch \(own) of the pair already"))
    } else {
      phase = .admitting([])
      core.pool.submit { _ in
        let refusal: PeerRefusal?
        do throws(PeerRefusal) {
          try self.core.sources.admit(peer)
          refusal = nil
        } catch { refusal = error }
        self.loop.execute { self.admitted(peer, refusal) }
      }
    }
  }

  private func admitted(_ peer: PeerIdentity, _ refusal: PeerRefusal?) {
    guard !isClosed, case .admitting(let early) = phase else { return }
    phase = .following
    if let refusal { return connection.close(refusal) }
    isFollower = true
    core.admitted(self, peer)
    core.logger.info(
      "a follower has connected", metadata: ["node": "\(peer.node)", "address": "\(connection.remoteAddress)"])
    clusterChanged()
    for payload in early {
      do throws(PeerRefusal) { try received(payload) } catch { return connection.close(error) }
    }
  }

  /// The peer has been promoted: whatever it wants, this node leads no longer.
  private func fence(_ peer: PeerIdentity) {
    phase = .ending
    core.pool.submit { _ in
      let reply: PeerRefusal
      do throws(PeerRefusal) {
        try self.core.sources.fence(by: peer)
        reply = PeerRefusal(.fenced, "node \(peer.node) leads with epoch \(peer.leaderEpoch)")
      } catch { reply = error }
      self.loop.execute { self.connection.close(reply) }
    }
  }

  // Messages

  private func take(_ message: PeerMessage) throws(PeerRefusal) {
    switch message {
    case .ping: break
    case .goodbye(let refusal): throw refusal
    case .credit(let count):
      guard Int(count) <= Limits.peerWindowBytes, credit + Int(count) <= Limits.peerWindowBytes else {
        throw .malformed("credit beyond the window")
      }
      credit += Int(count)
      send()
    case .follow(let request): try follow(request)
    case .unfollow(let id): if let stream = streams[id] { close(stream) }
    case .durable(let id, let acknowledged):
      guard let stream = streams[id] else { return }
      let position = acknowledged.position
      stream.durable = position
      stream.unacknowledged.acknowledge(position)
      // At once, whatever a thread does with the source: producers wait for it.
      if !stream.isClosing { stream.source?.acknowledged(position, isComplete: acknowledged.isComplete) }
      if let resync = stream.resync, stream.isResyncSent, resync.isReached(by: position) { endResync(of: stream) }
      work(on: stream)
    case .pageHashes(let piece):
      guard let stream = streams[piece.stream] else { return }
      hashCount += try stream.take(piece)
      guard hashCount <= Limits.peerArrivingHashesMax else {
        throw PeerRefusal(.tooMuch, "page hashes of too many databases at once")
      }
      // What was sent did not help.
      if stream.hashes != nil, stream.isResyncSent { endResync(of: stream) }
      work(on: stream)
    case .wantFile(let request):
      guard let stream = streams[request.stream] else { return }
      guard stream.filesUnderWay < Limits.peerFilesUnderWayMax else { throw .malformed("too many pieces of files at once") }
      stream.filesUnderWay += 1
      stream.fileRequests.append(request)
      fileReaders.append(stream.id)
      readFile()
    default: throw .malformed("\(message.kind) is what a leader says")
    }
  }

  private func follow(_ request: FollowRequest) throws(PeerRefusal) {
    guard request.stream.rawValue > lastStream else { throw .malformed("a stream that was there already") }
    guard streams.count < Limits.peerStreamsMax else {
      throw PeerRefusal(.tooMuch, "more than \(Limits.peerStreamsMax) partitions on one connection")
    }
    guard let peer else { return }
    lastStream = request.stream.rawValue
    let id = request.stream
    let stream = LeaderStream(
      request,
      wakeUp: WakeUp { [weak self] in
        guard let self else { return }
        loop.execute { self.notified(id) }
      })
    streams[id] = stream
    openSources += 1
    let wakeUp = stream.wakeUp
    let sources = core.sources
    core.pool.submit { _ in
      let result: Result<any ReplicaSource, PeerRefusal>
      do throws(PeerRefusal) {
        result = .success(
          try sources.openSource(
            of: request.partition, topicID: request.topicID, follower: peer.node, from: request.standing,
            notify: { wakeUp.raise() }))
      } catch { result = .failure(error) }
      self.loop.execute { self.opened(id, result) }
    }
  }

  private func opened(_ id: StreamID, _ result: Result<any ReplicaSource, PeerRefusal>) {
    guard let stream = streams[id] else { preconditionFailure("a stream is there until its source is closed") }
    switch result {
    case .success(let source):
      stream.source = source
      stream.isBusy = false
      // What was there before anybody could notify.
      notified(stream)
      work(on: stream)
    case .failure(let refusal):
      stream.isBusy = false
      forget(stream)
      if !stream.isClosing { connection.send(.refused(id, refusal)) }
    }
  }

  private func notified(_ id: StreamID) {
    guard let stream = streams[id] else { return }
    notified(stream)
    work(on: stream)
  }

  private func notified(_ stream: LeaderStream) {
    if stream.notifiedSince == nil { stream.notifiedSince = .now() }
  }

  // Work with sources

  /// Gives a thread what there is to do with the stream's source, if nobody has it.
  func work(on stream: LeaderStream) {
    guard !stream.isBusy, let source = stream.source else { return }
    if stream.isClosing { return closeSource(of: stream, source) }
    var work = LeaderWork()
    work.hashes = stream.hashes
    // What is read behind them repairs the copy: once it is the partition's turn.
    if let request = stream.fileRequests.first, isReadingFile, fileReaders.first == stream.id { work.file = request }
    if stream.hashes == nil, let readBytes = mayRead(stream) {
      work.readBytes = readBytes
      work.isResyncNext = stream.isResyncNext
    }
    if work.isEmpty { return }
    if stream.hashes != nil {
      // The answer is the next thing to be read, whether the source says so or not.
      stream.hashes = nil
      stream.isResyncNext = true
      notified(stream)
    }
    stream.isBusy = true
    if work.readBytes != nil {
      // Before the look: what comes later notifies anew.
      stream.wakeUp.lower()
      stream.readingSince = stream.notifiedSince
      stream.notifiedSince = nil
    }
    core.pool.submit { [work] _ in
      let outcome = work.run(source)
      self.loop.execute { self.finished(stream.id, work, outcome) }
    }
  }

  private func finished(_ id: StreamID, _ work: LeaderWork, _ outcome: LeaderWork.Outcome) {
    guard let stream = streams[id] else { preconditionFailure("a stream is there until its source is closed") }
    stream.isBusy = false
    if work.file != nil { fileRead(stream, outcome.file) }
    guard !stream.isClosing, !isClosed else { return self.work(on: stream) }
    if let failure = outcome.failure {
      core.logger.notice(
        "a follower's stream has ended", metadata: ["partition": "\(stream.partition)", "reason": "\(failure)"])
      connection.send(.refused(id, failure))
      return close(stream)
    }
    stream.backlog = outcome.backlog
    if outcome.hasRead { wasRead(stream, outcome) }
    self.work(on: stream)
  }

  func close(_ stream: LeaderStream) {
    if stream.isClosing { return }
    stream.isClosing = true
    stopSending(stream)
    work(on: stream)
  }

  private func closeSource(of stream: LeaderStream, _ source: any ReplicaSource) {
    stream.isBusy = true
    core.pool.submit { _ in
      source.close()
      self.loop.execute { self.forget(stream.id) }
    }
  }

  private func forget(_ id: StreamID) { if let stream = streams[id] { forget(stream) } }

  private func forget(_ stream: LeaderStream) {
    stopSending(stream)
    hashCount -= stream.arrivingHashes?.hashes.count ?? 0
    streams[stream.id] = nil
    forgetFile(of: stream.id)
    openSources -= 1
    if isClosed, openSources == 0 { core.ended(self) }
  }

  // The cluster

  /// The image may be another one.
  func clusterChanged() {
    guard case .following = phase else { return }
    if clusterMessages.isEmpty, let cluster = core.cluster, cluster != toldCluster {
      clusterMessages += cluster.messages(since: toldCluster)
      toldCluster = cluster
    }
    sendCluster()
  }

  private func sendCluster() {
    while connection.isWritable, let message = clusterMessages.popFirst() {
      connection.send(message)
      // What was published meanwhile.
      if clusterMessages.isEmpty { return clusterChanged() }
    }
  }

  // Life

  func writable() {
    sendCluster()
    send()
  }

  func tick(_ now: NIODeadline) {
    if now - lagToldAt < TimeAmount(core.configuration.timing.lagInterval) { return }
    lagToldAt = now
    for stream in streams.values {
      let lag = stream.lag(at: now)
      if lag != stream.toldLag, connection.isWritable {
        stream.toldLag = lag
        connection.send(.lag(stream.id, lag))
      }
    }
    core.report(self, status(at: now))
  }

  private func status(at now: NIODeadline) -> FollowerStatus? {
    guard let peer, case .following = phase else { return nil }
    let partitions = streams.values.map { stream in
      PartitionShipping(
        partition: stream.partition, topicID: stream.topicID,
        state: stream.source == nil ? .starting : stream.resync != nil || stream.isResyncNext ? .resyncing : .streaming,
        durable: stream.durable,
        highWatermark: stream.highWatermark, lag: stream.lag(at: now), bytes: stream.sentBytes)
    }
    return FollowerStatus(
      identity: peer, address: connection.remoteAddress, partitions: partitions.sorted { $0.partition < $1.partition })
  }

  func closed(_ reason: PeerRefusal) {
    if isClosed { return }
    isClosed = true
    phase = .ending
    core.closed(self, reason)
    for stream in streams.values { close(stream) }
    turns.removeAll()
    throttled = []
    clusterMessages.removeAll()
    if openSources == 0 { core.ended(self) }
  }
}
