import NIOCore
import Testing

@testable import Broker

@Suite("Replies leave in the order of the requests")
struct ReplyQueueTests {
  private static func reply(_ text: String) -> [ByteBuffer] { [ByteBuffer(string: text)] }
  private static func text(_ reply: [ByteBuffer]?) -> String? {
    reply.map { $0.map { String(buffer: $0) }.joined() }
  }

  @Test("a reply that is ready waits for the one before it")
  func order() {
    var queue = ReplyQueue()
    let first = queue.reserve()
    let second = queue.reserve()
    queue.fill(second, with: Self.reply("2"))
    #expect(Self.text(queue.next()) == nil)
    queue.fill(first, with: Self.reply("1"))
    #expect(Self.text(queue.next()) == "1")
    #expect(Self.text(queue.next()) == "2")
    #expect(queue.isEmpty)
  }

  @Test("places stay valid while replies leave in front of them")
  func tickets() {
    var queue = ReplyQueue()
    for round in 0..<100 {
      let first = queue.reserve()
      let second = queue.reserve()
      queue.fill(first, with: Self.reply("\(round)a"))
      #expect(Self.text(queue.next()) == "\(round)a")
      queue.fill(second, with: Self.reply("\(round)b"))
      #expect(Self.text(queue.next()) == "\(round)b")
    }
  }
}
