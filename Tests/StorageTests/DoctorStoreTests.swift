import Glibc
import Model
import NIOCore
import Records
import Storage
import Synchronization
import TestSupport
import Testing

@Suite("Doctor and store") struct DoctorStoreTests {
  private static func damages(_ directory: String) throws -> ([Doctor.Finding], Doctor.Summary) {
    var findings: [Doctor.Finding] = []
    let summary = try Doctor.examine(dataDirectory: directory) { if $0.severity == .damage { findings.append($0) } }
    return (findings, summary)
  }

  @Test("a store that appends, rolls, seals and lets go is sound at every moment, as a crash leaves it, and when it is closed")
  func running() throws {
    try withStore { store in
      try store.create(0) {
        $0.segmentBytes = 4096
        $0.retentionBytes = 20_000
      }
      try store.create(1)
      let looker = Looker(store.dataDirectory)
      for round in 0..<150 {
        let codec = Compression.allCases[round % Compression.allCases.count]
        try store.append(["\(round) " + String(repeating: "x", count: 500), "b"], 0) {
          $0.compression = codec
          $0.producerID = 3
          $0.producerEpoch = 0
          $0.baseSequence = Int32(2 * round)
        }
        try store.append(["\(round)"], 1, timestamps: [Int64(1_700_000_000_000 - round % 7)])
        if round % 10 == 0 { store.store.enforceRetention(now: store.clock.now) }
        if round % 50 == 49 {
          let copy = "\(store.directory)/copy-\(round)"
          try copyAtOneMoment(store.dataDirectory, to: copy)
          let (findings, summary) = try Self.damages(copy)
          #expect(findings == [])
          #expect(summary.records >= round)
        }
      }
      let (seen, rounds) = try looker.stop()
      #expect(seen == [] && rounds > 0)
      try store.store.close()
      let before = try directoryEntries(store.partitionDirectory()).sorted()
      let (findings, summary) = try Self.damages(store.dataDirectory)
      #expect(findings == [] && summary.partitions == 2)
      #expect(try directoryEntries(store.partitionDirectory()).sorted() == before)
      try store.begin(attaching: [0, 1])
    }
  }

  /// Examines a directory over and over on a thread of its own.
  private final class Looker: Sendable {
    private struct State {
      var seen: [Doctor.Finding] = []
      var rounds = 0
      var isStopping = false
      var isOver = false
      var error: StorageError?
    }
    private let state = Mutex(State())

    init(_ directory: String) {
      Thread.detach { [self] in
        while !state.withLock({ $0.isStopping }) {
          do throws(StorageError) {
            var damages: [Doctor.Finding] = []
            _ = try Doctor.examine(dataDirectory: directory) { if $0.severity == .damage { damages.append($0) } }
            state.withLock {
              $0.seen += damages
              $0.rounds += 1
            }
          } catch {
            state.withLock { $0.error = error }
            break
          }
        }
        state.withLock { $0.isOver = true }
      }
    }

    func stop() throws -> (seen: [Doctor.Finding], rounds: Int) {
      state.withLock { $0.isStopping = true }
      while !state.withLock({ $0.isOver }) { usleep(1000) }
      if let error = state.withLock({ $0.error }) { throw error }
      return state.withLock { ($0.seen, $0.rounds) }
    }
  }
}

private enum Thread {
  static func detach(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let boxed = Unmanaged.passRetained(Box(body)).toOpaque()
    pthread_create(
      &thread, nil,
      {
        Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().body(); return nil
      }, boxed)
    pthread_detach(thread)
  }
  private final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
}
