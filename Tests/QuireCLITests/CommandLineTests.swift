import ArgumentParser
import Testing

@testable import QuireCLI

@Suite("The command line")
struct CommandLineTests {
  private func parse<Command: ParsableCommand>(_ line: String, as: Command.Type = Command.self) throws -> Command {
    try #require(try Quire.parseAsRoot(line.split(separator: " ").map(String.init)) as? Command)
  }

  @Test("consume takes positions that look like options")
  func consume() throws {
    let command = try parse("consume plays --from -10m --max 3 --follow --format jsonl --group g", as: ConsumeCommand.self)
    #expect(command.from == "-10m")
    #expect(command.max == 3)
    #expect(command.follow)
    #expect(command.format == .jsonl)
  }

  @Test("serve turns its flags into settings, behind those of --set")
  func serve() throws {
    let command = try parse("serve --listen 127.0.0.1:1 --set a=b=c --node-id 4 --http off", as: ServeCommand.self)
    let flags = try command.flags()
    #expect(flags.first.map { "\($0.key) \($0.value)" } == "a b=c")
    #expect(flags.count == 4)
  }

  @Test(
    "what cannot be meant is a usage error",
    arguments: [
      "bogus", "consume", "consume t --from yesterday", "consume t --bogus", "consume t --bootstrap x:y", "produce t --partition -1",
      "produce t --format jsonl --key-separator :", "produce t --compression brotli", "topic create a/b", "topic create",
      "topic alter t", "topic create t --topic-config x", "topic create t --partitions 0", "group describe",
      "group reset-offsets g --topic t", "query SELECT --server http://a --data-dir b", "query SELECT -p x", "query",
      "query SELECT --server ftp://a", "export t --format xml --output x", "export t --format jsonl",
      "export t --format jsonl --output x --from 1:2:3", "doctor", "serve --set x", "serve --node-id x",
    ])
  func usage(_ line: String) {
    let error = #expect(throws: (any Error).self) { try Quire.parseAsRoot(line.split(separator: " ").map(String.init)) }
    #expect(Quire.exitCode(for: error!) == .validationFailure)
  }

  @Test("exit codes: 0 for help and version, 1 for a failure, 2 for usage")
  func exitCodes() async {
    #expect(await Program.run(["topic", "list", "--bogus"]) == 2)
    #expect(await Program.run(["topic", "list", "--bootstrap", "127.0.0.1:1"]) == 1)
    #expect(await Program.run(["query", "SELECT 1", "--server", "127.0.0.1:1"]) == 1)
    #expect(await Program.run(["produce", "t", "--file", "/nonexistent"]) == 1)
  }

  @Test(
    "positions",
    arguments: [
      ("beginning", .beginning), ("end", .end), ("0", .offset(0, partition: nil)), ("3:17", .offset(17, partition: 3)),
      ("-10m", .time(400_000)), ("-2s", .time(998_000)), ("-1d", .time(0)), ("1970-01-01", .time(0)),
      ("2025-03-09T14:30:05.25+02:00", .time(1_741_523_405_250)), ("2025-03-09 14:30", .time(1_741_530_600_000)),
      ("2024-02-29T00:00Z", .time(1_709_164_800_000)), ("1969-12-31T23:59:59", .time(-1000)),
    ] as [(String, StartPosition)])
  func positions(_ text: String, _ expected: StartPosition) {
    #expect(StartPosition.parse(text, now: 1_000_000) == expected)
  }

  @Test(
    "what is no position",
    arguments: [
      "", "-", "-5", "-5x", "+5", "1:", ":1", "1:2:3", "2023-02-29", "2025-13-01", "2025-1-1", "2025-01-01T25:00", "2025-01-01T10",
      "2025-01-01Z", "2025-01-01T10:00+1", "9223372036854775808", "99999999999:1",
    ])
  func noPositions(_ text: String) { #expect(StartPosition.parse(text, now: 1_000_000) == nil) }

  @Test("times are written as they are read")
  func times() {
    for milliseconds: Int64 in [0, -1, 951_782_399_999, 951_782_400_000, 1_741_530_605_250, 4_107_542_400_000, -86_400_001] {
      #expect(Instant.parse(iso: Instant.format(milliseconds)) == milliseconds)
    }
  }

  @Test(
    "servers",
    arguments: [
      ("http://127.0.0.1:8080", "127.0.0.1:8080", ""), ("http://h", "h:80", ""), ("h:1/q/", "h:1", "/q"),
      ("http://[::1]:8080/", "[::1]:8080", ""),
    ])
  func servers(_ text: String, _ authority: String, _ path: String) throws {
    let server = try ServerAddress(parsing: text)
    #expect(server.authority == authority)
    #expect(server.path == path)
  }
}
