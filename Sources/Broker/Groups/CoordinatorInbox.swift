internal import Coordination
internal import Glibc
internal import Model

/// What waits for a shard's thread: a bounded queue of events with a timed wait, and what became of the changes that are being made durable.
// Safe because: everything mutable is touched with `mutex` held.
final class CoordinatorInbox: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let eventsMax: Int
  private var events: [CoordinatorEvent] = []
  private var outcome: Outcome?
  private var isClosed = false
  private var isFinished = false

  /// What became of changes.
  struct Outcome: Sendable {
    var failure: UnappliedChanges?
  }

  init(eventsMax: Int) {
    self.eventsMax = eventsMax
    pthread_mutex_init(mutex, nil)
    // The wall clock may be set; a wait must not last until it is right again.
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// - Returns: false if the queue is full or closed; the event is not in it then.
  func put(_ event: CoordinatorEvent) -> Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    guard !isClosed, events.count < eventsMax else { return false }
    events.append(event)
    if events.count == 1 { pthread_cond_broadcast(condition) }
    return true
  }

  private static func deadline(in milliseconds: Int64) -> timespec {
    var deadline = timespec()
    clock_gettime(CLOCK_MONOTONIC, &deadline)
    let wait = min(max(milliseconds, 0), 3_600_000)
    deadline.tv_sec += Int(wait / 1_000)
    deadline.tv_nsec += Int(wait % 1_000) * 1_000_000
    if deadline.tv_nsec >= 1_000_000_000 {
      deadline.tv_sec += 1
      deadline.tv_nsec -= 1_000_000_000
    }
    return deadline
  }

  /// Says what became of the changes; also where no events are taken any more.
  func put(_ outcome: Outcome) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    self.outcome = outcome
    pthread_cond_broadcast(condition)
  }

  /// Everything that is there; waits for something at most `milliseconds`.
  ///
  /// - Parameter awaitsOutcome: one will be put, whatever happens.
  /// - Returns: nil once the inbox is closed and empty, and nothing will come.
  func takeAll(waitingAtMost milliseconds: Int64, awaitsOutcome: Bool) -> (events: [CoordinatorEvent], outcome: Outcome?)? {
    var deadline = Self.deadline(in: milliseconds)
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while events.isEmpty, outcome == nil, !isClosed || awaitsOutcome,
      pthread_cond_timedwait(condition, mutex, &deadline) == 0
    {}
    if events.isEmpty, outcome == nil, isClosed, !awaitsOutcome { return nil }
    let taken = (events, outcome)
    (events, outcome) = ([], nil)
    return taken
  }

  /// Takes no more events.
  ///
  /// - Parameter keeping: what is there is still given out; else it is the caller's to answer.
  @discardableResult
  func close(keeping: Bool) -> [CoordinatorEvent] {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    isClosed = true
    pthread_cond_broadcast(condition)
    if keeping { return [] }
    defer { events = [] }
    return events
  }

  /// Waits for so long, or until the inbox is closed.
  ///
  /// - Returns: false where it is.
  func rest(milliseconds: Int64) -> Bool {
    var deadline = Self.deadline(in: milliseconds)
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isClosed, pthread_cond_timedwait(condition, mutex, &deadline) == 0 {}
    return !isClosed
  }

  /// The thread says that it has seen the end.
  func finish() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    isFinished = true
    pthread_cond_broadcast(condition)
  }

  func waitUntilFinished() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isFinished { pthread_cond_wait(condition, mutex) }
  }
}
