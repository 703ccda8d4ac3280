import Glibc
import HistorySupport
import Model
import NIOCore
import NIOPosix
import Query
import Synchronization
import Testing

@testable import Gateway

func usleepMilliseconds(_ count: UInt32) { usleep(count * 1000) }

@Suite(.timeLimit(.minutes(1))) struct StreamedOutputTests {
  @Test("a writer waits while a slow reader has a megabyte before it, and everything arrives in order")
  func backpressure() async throws {
    let output = StreamedOutput()
    let written = Atomic<Int>(0)
    let chunk = 1 << 16
    let writer = Task.detached {
      try await NIOThreadPool.singleton.runIfActive {
        for index in 0..<64 {
          try output.write(ByteBuffer(repeating: UInt8(index), count: chunk))
          written.wrappingAdd(1, ordering: .relaxed)
        }
        output.finish()
      }
    }
    try await Task.sleep(for: .milliseconds(50))
    #expect(written.load(ordering: .relaxed) <= Limits.httpQueuedBytesMax / chunk)
    var received = ByteBuffer()
    reading: while true {
      switch await output.next() {
      case .bytes(let bytes): received.writeImmutableBuffer(bytes)
      case .end: break reading
      case .failure(let message):
        Issue.record("\(message)")
        break reading
      }
    }
    try await writer.value
    #expect(received.readableBytes == 64 * chunk)
    #expect((0..<64).allSatisfy { received.getInteger(at: $0 * chunk, as: UInt8.self) == UInt8($0) })
  }

  @Test("a waiting writer is released when nobody reads any more, and its interrupt runs once")
  func abandoned() async throws {
    let output = StreamedOutput()
    let interrupts = Atomic<Int>(0)
    output.onAbandoned { interrupts.wrappingAdd(1, ordering: .relaxed) }
    let writer = Task.detached {
      try await NIOThreadPool.singleton.runIfActive {
        while true { try output.write(ByteBuffer(repeating: 0, count: 1 << 18)) }
      }
    }
    try await Task.sleep(for: .milliseconds(20))
    output.abandon()
    output.abandon()
    await #expect(throws: StreamedOutput.Abandoned.self) { try await writer.value }
    #expect(interrupts.load(ordering: .relaxed) == 1)
  }

  @Test("a client that takes nothing is abandoned, and the thread that waited for it is free")
  func stalled() async throws {
    let interrupts = Atomic<Int>(0)
    let stalls = Atomic<Int>(0)
    let output = StreamedOutput(stallTime: .milliseconds(100)) { stalls.wrappingAdd(1, ordering: .relaxed) }
    output.onAbandoned { interrupts.wrappingAdd(1, ordering: .relaxed) }
    await #expect(throws: StreamedOutput.Abandoned.self) {
      try await NIOThreadPool.singleton.runIfActive {
        while true { try output.write(ByteBuffer(repeating: 0, count: 1 << 18)) }
      }
    }
    #expect(interrupts.load(ordering: .relaxed) == 1)
    #expect(stalls.load(ordering: .relaxed) == 1)
  }

  @Test("a client that takes a part now and then has not stalled, however long the whole takes")
  func slow() async throws {
    let output = StreamedOutput(stallTime: .seconds(3))
    let writer = Task.detached {
      try await NIOThreadPool.singleton.runIfActive {
        let waited = try output.write(ByteBuffer(repeating: 1, count: 2 << 20))
        let more = try output.write(ByteBuffer(repeating: 2, count: 1))
        output.finish()
        return (waited, more)
      }
    }
    var received = 0
    let begin = ContinuousClock.now
    while case .bytes(let bytes) = await output.next() {
      #expect(bytes.readableBytes <= StreamedOutput.partBytes)
      received += bytes.readableBytes
      if ContinuousClock.now - begin < .seconds(4) { try await Task.sleep(for: .milliseconds(300)) }
    }
    let (waited, more) = try await writer.value
    #expect(received == 2 << 20 + 1)
    // The first found room, the second waited for it.
    #expect(waited == .zero && more > .seconds(3))
  }

  @Test("time that a statement waits for its client is not its own")
  func time() async throws {
    let doors = HistoryDoors.over(
      catalog: MemoryCatalog(MemoryHistory()), limits: SQLLimits(time: .seconds(2)), queries: QueryRegistry(), now: { 0 }
    ) { _ in }
    let sql =
      "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1500) SELECT printf('%.*c', 4096, 'x') FROM n"
    let request = try QueryRequest(
      json: ByteBuffer(string: "{\"sql\":\"\(sql)\",\"format\":\"csv\"}"), wantsEvents: false, lastEventID: nil, now: 0)
    let output = StreamedOutput()
    let answer = Task.detached {
      try await NIOThreadPool.singleton.runIfActive {
        defer { output.finish() }
        try doors.query(request, output)
      }
    }
    var received = 0
    while case .bytes(let bytes) = await output.next() {
      if received == 0 { try await Task.sleep(for: .seconds(3)) }
      received += bytes.readableBytes
    }
    try await answer.value
    #expect(received > 1500 * 4096)
  }
}
