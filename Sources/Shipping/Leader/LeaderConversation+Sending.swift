internal import Logging
internal import Model
internal import NIOCore

/// Who may send next: each partition in turn, and the files of all of them as one more.
enum SendTurn: Hashable {
  case stream(StreamID)
  case file
}

extension LeaderConversation {
  /// Bytes of page sets that are read of one partition at once.
  private static let readBytes = 256 << 10

  // Reading

  /// How much may be read of a stream now; nil for nothing. What has to wait is called again.
  func mayRead(_ stream: LeaderStream) -> Int? {
    guard stream.notifiedSince != nil, stream.outgoing.isEmpty, !isClosed else { return nil }
    if stream.isResyncNext {
      guard resyncing == stream.id else {
        if !resyncers.contains(stream.id) { resyncers.append(stream.id) }
        beginResync()
        return nil
      }
    } else if waitingBytes >= Limits.peerReadAheadBytesMax {
      if !stream.isQueuedToRead {
        stream.isQueuedToRead = true
        readers.append(stream.id)
      }
      return nil
    }
    return Self.readBytes
  }

  /// What a thread has read of a stream.
  func wasRead(_ stream: LeaderStream, _ outcome: LeaderWork.Outcome) {
    let now = NIODeadline.now()
    let since = stream.readingSince ?? now
    stream.readingSince = nil
    if !outcome.isDrained { stream.notifiedSince = since }
    for set in outcome.sets {
      stream.unacknowledged.append(before: set.before, after: set.after, bytes: set.bytes, since: since)
    }
    stream.outgoing += outcome.outgoing
    if outcome.isResync {
      stream.resync = outcome.sets.last?.after
      stream.isResyncSent = false
      stream.isResyncNext = false
    } else {
      stream.outgoingBytes += outcome.outgoingBytes
      waitingBytes += outcome.outgoingBytes
      // It had its turn, and nothing large yet: others may have theirs.
      if stream.resync == nil { endResync(of: stream) }
    }
    giveTurn(stream)
    send()
  }

  // One large set at a time: both ends have it in memory as a whole.

  private func beginResync() {
    guard resyncing == nil, !isClosed else { return }
    while let id = resyncers.popFirst() {
      guard let stream = streams[id], !stream.isClosing, stream.isResyncNext else { continue }
      resyncing = id
      // After what is being looked at.
      loop.execute { if let stream = self.streams[id] { self.work(on: stream) } }
      return
    }
  }

  func endResync(of stream: LeaderStream) {
    stream.resync = nil
    stream.isResyncSent = false
    guard resyncing == stream.id else { return }
    resyncing = nil
    beginResync()
  }

  // Sending

  private func giveTurn(_ stream: LeaderStream) {
    guard !stream.hasTurn, !stream.outgoing.isEmpty else { return }
    stream.hasTurn = true
    turns.append(.stream(stream.id))
  }

  /// Sends what the connection takes, a piece of each partition in turn.
  func send() {
    while connection.isWritable, credit > 0, let turn = turns.popFirst() {
      let wantsAnother: Bool
      switch turn {
      case .stream(let id):
        guard let stream = streams[id], !stream.isClosing else { continue }
        stream.hasTurn = false
        wantsAnother = sendPiece(of: stream)
        if wantsAnother { stream.hasTurn = true }
      case .file: wantsAnother = sendFilePiece()
      }
      if wantsAnother { turns.append(turn) }
    }
  }

  /// - Returns: whether there is more, and it may go on.
  private func sendPiece(of stream: LeaderStream) -> Bool {
    var budget = Limits.peerPieceBytes
    while budget > 0, credit > 0, let next = stream.outgoing.first {
      switch next {
      case .highWatermark(let offset):
        stream.highWatermark = offset
        budget -= connection.send(.highWatermark(stream.id, offset))
        stream.outgoing.removeFirst()
      case .wantPageHashes(let segmentBase):
        budget -= connection.send(.wantPageHashes(stream.id, segmentBase: segmentBase))
        stream.outgoing.removeFirst()
      case .pages(var bytes, let isResync):
        if isResync, isThrottled(.stream(stream.id)) {
          stream.hasTurn = true
          return false
        }
        let piece = bytes.readSlice(length: min(budget, credit, bytes.readableBytes))!
        // The buffer's own storage is shared with what is left, and freed with it.
        stream.outgoing[stream.outgoing.startIndex] = .pages(bytes, isResync: isResync)
        connection.send(.pages(stream.id, piece))
        sent(piece.readableBytes, of: stream, isResync: isResync)
        budget -= piece.readableBytes
        if bytes.readableBytes == 0 {
          stream.outgoing.removeFirst()
          if isResync { stream.isResyncSent = true }
        }
      }
    }
    if stream.outgoing.isEmpty {
      wasSent(stream)
      return false
    }
    return true
  }

  private func sent(_ byteCount: Int, of stream: LeaderStream, isResync: Bool) {
    credit -= byteCount
    stream.sentBytes += Int64(byteCount)
    if isResync {
      throttle.take(byteCount)
    } else {
      stream.outgoingBytes -= byteCount
      waitingBytes -= byteCount
    }
  }

  /// Nothing is left to send of a stream: its source is asked again, and those that waited for room.
  private func wasSent(_ stream: LeaderStream) {
    work(on: stream)
    while waitingBytes < Limits.peerReadAheadBytesMax, let id = readers.popFirst() {
      guard let other = streams[id] else { continue }
      other.isQueuedToRead = false
      work(on: other)
    }
  }

  /// Whether it is too early to send what catches a follower up; the turn comes back in time.
  private func isThrottled(_ turn: SendTurn) -> Bool {
    throttle.bytesPerSecond = core.catchUpBytesPerSecond
    guard let wait = throttle.wait(at: .now()) else { return false }
    throttled.append(turn)
    if throttled.count == 1 {
      // Not for as long as a rate says that may be another one soon.
      loop.scheduleTask(in: min(wait, .milliseconds(500))) {
        self.turns += self.throttled
        self.throttled = []
        self.send()
      }
    }
    return true
  }

  func stopSending(_ stream: LeaderStream) {
    waitingBytes -= stream.outgoingBytes
    stream.outgoing.removeAll()
    stream.outgoingBytes = 0
    stream.isResyncNext = false
    stream.fileRequests.removeAll()
    endResync(of: stream)
  }

  // Files: one piece is sent after the other, and the next one is read meanwhile

  func readFile() {
    guard !isReadingFile, nextFile == nil, !isClosed else { return }
    while let id = fileReaders.first {
      if let stream = streams[id], !stream.fileRequests.isEmpty {
        isReadingFile = true
        return work(on: stream)
      }
      fileReaders.removeFirst()
    }
  }

  /// A stream has ended; a thread may have had no time to read for it.
  func forgetFile(of id: StreamID) {
    guard isReadingFile, fileReaders.first == id else { return }
    isReadingFile = false
    fileReaders.removeFirst()
    readFile()
  }

  func fileRead(_ stream: LeaderStream, _ result: Result<FileBytes, PeerRefusal>?) {
    isReadingFile = false
    fileReaders.removeFirst()
    defer { readFile() }
    guard let result, !stream.isClosing, let request = stream.fileRequests.popFirst() else { return }
    switch result {
    case .success(let bytes):
      let piece = FilePiece(
        stream: stream.id, base: request.base, generation: request.generation, offset: request.offset,
        totalBytes: bytes.totalBytes, isLast: false, bytes: bytes.bytes)
      if file == nil { beginFile(piece) } else { nextFile = piece }
    case .failure(let refusal):
      core.logger.notice(
        "a file that a follower wants cannot be read",
        metadata: ["partition": "\(stream.partition)", "base": "\(request.base)", "reason": "\(refusal)"])
      stream.filesUnderWay -= 1
      connection.send(.noFile(stream.id, base: request.base, generation: request.generation))
    }
  }

  private func beginFile(_ piece: FilePiece) {
    file = piece
    turns.append(.file)
    send()
  }

  private func endFile() {
    file = nextFile
    nextFile = nil
    if file != nil { turns.append(.file) }
    readFile()
  }

  /// - Returns: whether there is more, and it may go on.
  private func sendFilePiece() -> Bool {
    guard var rest = file else { return false }
    guard let stream = streams[rest.stream], !stream.isClosing else {
      endFile()
      return false
    }
    if isThrottled(.file) { return false }
    var piece = rest
    piece.bytes = rest.bytes.readSlice(length: min(Limits.peerPieceBytes, credit, rest.bytes.readableBytes))!
    piece.isLast = rest.bytes.readableBytes == 0
    rest.offset += Int64(piece.bytes.readableBytes)
    // Before it is sent: the follower asks for the next one as soon as it has this.
    if piece.isLast { stream.filesUnderWay -= 1 }
    connection.send(.file(piece))
    credit -= piece.bytes.readableBytes
    stream.sentBytes += Int64(piece.bytes.readableBytes)
    throttle.take(piece.bytes.readableBytes)
    if piece.isLast {
      endFile()
      return false
    }
    file = rest
    return true
  }
}
