import Glibc

/// One thread that does blocking work in the order it is handed in.
final class SerialThread: @unchecked Sendable {
  // Safe because: `queue` and `isStopping` are only touched while holding `mutex`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let hasWork = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [@Sendable () -> Void] = []
  private var isStopping = false

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(hasWork, nil)
    var thread = pthread_t()
    let started = pthread_create(
      &thread, nil,
      { argument in
        // Safe because: `init` retained the object for this thread, which gives that up at its end.
        let this = Unmanaged<SerialThread>.fromOpaque(argument!).takeRetainedValue()
        this.work()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    precondition(started == 0, "a thread cannot be started: \(started)")
    pthread_detach(thread)
  }

  deinit {
    pthread_cond_destroy(hasWork)
    pthread_mutex_destroy(mutex)
    hasWork.deallocate()
    mutex.deallocate()
  }

  /// Hands in work.
  ///
  /// - Returns: false once the thread is stopping; then the work is not done.
  func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
    pthread_mutex_lock(mutex)
    let accepts = !isStopping
    if accepts { queue.append(work) }
    pthread_cond_signal(hasWork)
    pthread_mutex_unlock(mutex)
    return accepts
  }

  /// Takes no more work; what was handed in is still done.
  func stop() {
    pthread_mutex_lock(mutex)
    isStopping = true
    pthread_cond_signal(hasWork)
    pthread_mutex_unlock(mutex)
  }

  private func work() {
    while true {
      pthread_mutex_lock(mutex)
      while queue.isEmpty && !isStopping { pthread_cond_wait(hasWork, mutex) }
      let batch = queue
      queue = []
      pthread_mutex_unlock(mutex)
      if batch.isEmpty { return }
      for work in batch { work() }
    }
  }
}
