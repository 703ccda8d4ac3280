internal import Model
internal import Synchronization

/// Lets a thread wait until something is new in a topic: records below its high watermarks, or that it is gone. Any thread.
///
/// Nothing that happened since it was made, or since the last `wait`, is missed.
public final class TopicWatch: Sendable {
  let topic: String
  private let watches: TopicWatches
  private let monitor = Monitor()
  private let isSignalled = Atomic<Bool>(false)

  fileprivate init(_ topic: String, _ watches: TopicWatches) {
    self.topic = topic
    self.watches = watches
  }

  deinit { watches.remove(ObjectIdentifier(self), topic) }

  /// Blocks until something is new, `wake` was called or the time is over.
  public func wait(atMost time: Duration) {
    let (seconds, attoseconds) = time.components
    let deadline = monotonicNanoseconds() + seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    monitor.withLock {
      while !isSignalled.exchange(false, ordering: .acquiring), monotonicNanoseconds() < deadline {
        monitor.wait(until: deadline)
      }
    }
  }

  public func wake() {
    monitor.withLock { isSignalled.store(true, ordering: .releasing) }
    monitor.broadcast()
  }
}

/// Who waits for something new, by topic. While nobody does, producers pay one load of a word.
final class TopicWatches: Sendable {
  /// Held by nobody but its user: a watch that is no longer wanted goes.
  private struct Entry {
    weak var watch: TopicWatch?
  }
  private let count = Atomic<Int>(0)
  private let entries = Mutex<[String: [ObjectIdentifier: Entry]]>([:])

  func watch(_ topic: String) -> TopicWatch {
    let watch = TopicWatch(topic, self)
    entries.withLock { $0[topic, default: [:]][ObjectIdentifier(watch)] = Entry(watch: watch) }
    count.add(1, ordering: .releasing)
    return watch
  }

  fileprivate func remove(_ watch: ObjectIdentifier, _ topic: String) {
    entries.withLock { entries in
      entries[topic]?[watch] = nil
      if entries[topic]?.isEmpty == true { entries[topic] = nil }
    }
    count.subtract(1, ordering: .releasing)
  }

  /// Something is new in these partitions.
  func moved(_ logs: [PartitionLog]) {
    if count.load(ordering: .acquiring) == 0 { return }
    let topics = Set(logs.map(\.topicPartition.topic))
    // Woken without the lock: letting go of the last reference to a watch takes it.
    let watches = entries.withLock { entries in topics.flatMap { entries[$0]?.values.compactMap(\.watch) ?? [] } }
    for watch in watches { watch.wake() }
  }
}
