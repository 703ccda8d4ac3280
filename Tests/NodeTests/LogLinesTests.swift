import Logging
import Synchronization
import Testing

@testable import Node

@Suite struct LogLinesTests {
  func lines(_ format: LogLines.Format, level: Logger.Level = .info, _ body: (Logger) -> Void) -> [String] {
    let written = Written()
    var handler = LogLines(label: "storage", format: format, level: level)
    handler.write = { written.append($0) }
    handler.now = { 1_772_366_400_123 }
    body(Logger(label: "storage", factory: { _ in handler }))
    return written.lines
  }

  final class Written: Sendable {
    private let all = Mutex<[String]>([])
    var lines: [String] { all.withLock { $0 } }
    func append(_ line: String) { all.withLock { $0.append(line) } }
  }

  @Test("text: time, level, label, message, then the pairs in order")
  func text() {
    let written = lines(.text) { $0.warning("sync failed", metadata: ["partition": "a-0", "error": "disk \"full\""]) }
    #expect(
      written == ["2026-03-01T12:00:00.123Z warning storage: sync failed error=\"disk \\\"full\\\"\" partition=a-0\n"])
  }

  @Test("JSON: one object a line, whatever is in it")
  func json() {
    let written = lines(.json) { $0.info("a\nb", metadata: ["k": "\u{1}", "message": "mine"]) }
    #expect(
      written == [
        "{\"time\":\"2026-03-01T12:00:00.123Z\",\"level\":\"info\",\"label\":\"storage\",\"message\":\"a\\nb\",\"k\":\"\\u0001\"}\n"
      ])
  }

  @Test("a message with a line break stays one line, and what is below the level is not written")
  func oneLine() {
    let written = lines(.text) { logger in
      logger.debug("hidden")
      logger.info("a\nb")
    }
    #expect(written.count == 1)
    #expect(written.first?.hasSuffix("a\\nb\n") == true)
  }
}
