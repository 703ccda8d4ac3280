internal import Synchronization

/// What a mirror says to a person while it runs, on standard error.
final class MirrorVoice: Sendable {
  private struct State {
    var line = StatusLine(sharesTerminal: false)
    var said: [String: ContinuousClock.Instant] = [:]
  }
  private static let silence = Duration.seconds(30)
  private let state = Mutex(State())

  /// Says what may pass by itself; the same again only after a while.
  func warn(_ message: String) {
    let isNew = state.withLock { state in
      let now = ContinuousClock.now
      if let last = state.said[message], now - last < Self.silence { return false }
      if state.said.count > 100 { state.said = [:] }
      state.said[message] = now
      return true
    }
    if isNew { say(message) }
  }

  func say(_ message: String) {
    clear()
    QuireCLI.say("quire: \(message)")
  }

  func progress(_ partitions: some Collection<MirroredPartition>) {
    state.withLock { state in
      guard state.line.isDue else { return }
      let records = partitions.reduce(0) { $0 + $1.recordCount }
      let bytes = partitions.reduce(0) { $0 + $1.byteCount }
      let lag = partitions.reduce(Int64(0)) { $0 &+ $1.lag }
      state.line.show("copied \(records) records, \(Progress.size(bytes)); \(lag) to go")
    }
  }

  func clear() { state.withLock { $0.line.clear() } }
}
