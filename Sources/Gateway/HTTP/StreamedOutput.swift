import Glibc
public import Model
public import NIOCore
import Query
import Synchronization

/// Bytes on their way from a read thread, which may block, to an HTTP response, which may not.
///
/// The writer blocks while more than `Limits.httpQueuedBytesMax` wait for a slow client, so that a large answer costs little memory; and
/// not for ever: a client that takes nothing for a while is abandoned.
public final class StreamedOutput: @unchecked Sendable {
  // Safe because: every field below `mutex` is only touched while holding it.

  /// The client is gone or the node is stopping: nobody reads what is written. Thrown to the writer, who should end.
  public struct Abandoned: Error {}

  enum Next: Sendable {
    case bytes(ByteBuffer)
    case end
    case failure(AnswerFailure)
  }

  private enum Ending {
    case finished
    case failed(AnswerFailure)
    case abandoned
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let roomForMore = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [ByteBuffer] = []
  private var queuedBytes = 0
  private var ending: Ending?
  private var reader: CheckedContinuation<Next, Never>?
  private var interrupt: (@Sendable () -> Void)?

  private var hasBegun = false
  /// Counted up whenever the client has taken something.
  private var taken = 0
  private let stallTime: Duration
  private let stalled: @Sendable () -> Void

  /// What the reader gets at once at most: a client that takes one such part now and then has not stalled.
  static let partBytes = 64 << 10

  /// - Parameters:
  ///   - stallTime: a client that takes nothing for so long while a writer waits for it is abandoned.
  ///   - stalled: called then, once, on the writer's thread: what was handed to the client last may still be on its way.
  public init(
    stallTime: Duration = .milliseconds(Limits.queryStallMilliseconds), stalled: @escaping @Sendable () -> Void = {}
  ) {
    self.stallTime = stallTime
    self.stalled = stalled
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(roomForMore, &attributes)
  }

  deinit {
    pthread_cond_destroy(roomForMore)
    pthread_mutex_destroy(mutex)
    roomForMore.deallocate()
    mutex.deallocate()
  }

  /// Hands bytes to the client. Blocks while it is slow.
  ///
  /// - Returns: how long it blocked: that is the client's time and not the writer's.
  /// - Throws: when nobody reads any more; what was written before may or may not have arrived.
  @discardableResult
  public func write(_ bytes: ByteBuffer) throws(Abandoned) -> Duration {
    if bytes.readableBytes == 0 { return .zero }
    pthread_mutex_lock(mutex)
    let hasRoom = queuedBytes < Limits.httpQueuedBytesMax
    let begin = hasRoom ? nil : ContinuousClock.now
    guard hasRoom || waitForRoom() else {
      pthread_mutex_unlock(mutex)
      abandon()
      stalled()
      throw Abandoned()
    }
    guard ending == nil else {
      pthread_mutex_unlock(mutex)
      throw Abandoned()
    }
    queue.append(bytes)
    queuedBytes += bytes.readableBytes
    let waiting = reader
    reader = nil
    let part = waiting == nil ? nil : takePart()
    pthread_mutex_unlock(mutex)
    if let part { waiting?.resume(returning: .bytes(part)) }
    return begin.map { ContinuousClock.now - $0 } ?? .zero
  }

  /// - Precondition: holds `mutex`.
  /// - Returns: false if the client takes nothing any more.
  private func waitForRoom() -> Bool {
    var last = taken
    var deadline = SteadyClock.moment(after: stallTime)
    while queuedBytes >= Limits.httpQueuedBytesMax && ending == nil {
      if pthread_cond_timedwait(roomForMore, mutex, &deadline) != ETIMEDOUT { continue }
      if taken == last { return false }
      last = taken
      deadline = SteadyClock.moment(after: stallTime)
    }
    return true
  }

  /// What the client gets next. Small writes are put together.
  ///
  /// - Precondition: holds `mutex`, and something is queued.
  private func takePart() -> ByteBuffer {
    var part = queue[0].readSlice(length: min(queue[0].readableBytes, Self.partBytes)) ?? ByteBuffer()
    var used = 0
    while queue[used].readableBytes == 0 {
      used += 1
      guard used < queue.count, part.readableBytes + queue[used].readableBytes <= Self.partBytes else { break }
      part.writeBuffer(&queue[used])
    }
    queue.removeFirst(used)
    queuedBytes -= part.readableBytes
    taken &+= 1
    pthread_cond_broadcast(roomForMore)
    return part
  }

  /// The answer begins, though there is nothing of it yet: its reader gets no bytes, and from now on it cannot be refused any more.
  func begin() {
    pthread_mutex_lock(mutex)
    let waiting = reader
    reader = nil
    hasBegun = waiting == nil
    pthread_mutex_unlock(mutex)
    waiting?.resume(returning: .bytes(ByteBuffer()))
  }

  /// What to run once, on any thread, when nobody reads any more or the answer has failed: the writer may be deep in a scan that writes nothing.
  public func onAbandoned(_ interrupt: @escaping @Sendable () -> Void) {
    pthread_mutex_lock(mutex)
    let isAbandoned = if case .abandoned = ending { true } else { false }
    if !isAbandoned { self.interrupt = interrupt }
    pthread_mutex_unlock(mutex)
    if isAbandoned { interrupt() }
  }

  /// The answer is complete.
  func finish() { end(.finished) }
  /// The answer ends here with an error: the first of all if nothing was written yet, else the connection is cut off.
  func fail(_ failure: AnswerFailure) { end(.failed(failure)) }
  /// Nobody reads any more.
  func abandon() { end(.abandoned) }

  private func end(_ wanted: Ending) {
    pthread_mutex_lock(mutex)
    guard ending == nil else {
      pthread_mutex_unlock(mutex)
      return
    }
    ending = wanted
    var toRun: (@Sendable () -> Void)?
    // Who writes may wait for records, and would not notice.
    if case .failed = wanted { toRun = interrupt }
    if case .abandoned = wanted {
      toRun = interrupt
      queue = []
      queuedBytes = 0
    }
    interrupt = nil
    pthread_cond_broadcast(roomForMore)
    let waiting = reader
    reader = nil
    pthread_mutex_unlock(mutex)
    toRun?()
    waiting?.resume(returning: Self.next(after: wanted))
  }

  private static func next(after ending: Ending) -> Next {
    switch ending {
    case .finished: .end
    case .failed(let failure): .failure(failure)
    case .abandoned: .failure(AnswerFailure("abandoned", "the request was abandoned"))
    }
  }

  /// The next bytes, or how it ended.
  ///
  /// - Precondition: one reader at a time.
  func next() async -> Next {
    await withCheckedContinuation { continuation in
      pthread_mutex_lock(mutex)
      precondition(reader == nil, "a second reader of one streamed output")
      if hasBegun, queue.isEmpty, ending == nil {
        hasBegun = false
        pthread_mutex_unlock(mutex)
        continuation.resume(returning: .bytes(ByteBuffer()))
      } else if !queue.isEmpty {
        let part = takePart()
        pthread_mutex_unlock(mutex)
        continuation.resume(returning: .bytes(part))
      } else if let ending {
        pthread_mutex_unlock(mutex)
        continuation.resume(returning: Self.next(after: ending))
      } else {
        reader = continuation
        pthread_mutex_unlock(mutex)
      }
    }
  }
}
