internal import Synchronization

/// Syncs several WALs at once: the caller and its helper threads share the work.
///
// Safe because: everything that changes is guarded by `monitor`.
final class WALSyncer: @unchecked Sendable {
  private let monitor = Monitor()
  private var writers: [SegmentWriter] = []
  private var results: [CInt] = []
  private var next = 0
  private var running = 0
  private var isStopped = false
  private var helpers: [StorageThread] = []

  init(helperCount: Int, name: String) {
    helpers = (0..<helperCount).map { index in StorageThread("\(name)-sync-\(index)") { [unowned self] in self.help() } }
  }

  /// - Returns: for each writer 0 or the error number of its sync.
  func sync(_ writers: [SegmentWriter]) -> [CInt] {
    if writers.count == 1 || helpers.isEmpty { return writers.map { $0.sync() } }
    monitor.lock()
    self.writers = writers
    results = [CInt](repeating: 0, count: writers.count)
    next = 0
    monitor.broadcast()
    while next < self.writers.count { step() }
    while running > 0 { monitor.wait() }
    let results = self.results
    self.writers = []
    next = 0
    monitor.unlock()
    return results
  }

  func stop() {
    monitor.lock()
    isStopped = true
    monitor.broadcast()
    monitor.unlock()
    for helper in helpers { helper.join() }
  }

  private func help() {
    monitor.lock()
    while !isStopped {
      if next < writers.count {
        step()
        if next >= writers.count, running == 0 { monitor.broadcast() }
      } else {
        monitor.wait()
      }
    }
    monitor.unlock()
  }

  /// One sync; the monitor is locked before and after.
  private func step() {
    let index = next
    let writer = writers[index]
    next += 1
    running += 1
    monitor.unlock()
    let result = writer.sync()
    monitor.lock()
    results[index] = result
    running -= 1
  }
}
