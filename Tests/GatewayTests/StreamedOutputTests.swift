import Glibc
import Model
import NIOCore
import NIOPosix
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
}
