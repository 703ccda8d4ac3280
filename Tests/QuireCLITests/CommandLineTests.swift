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
    "whatever prints a table for people prints JSON for programs",
    arguments: [
      "topic list", "topic describe t", "group list", "group describe g", "group reset-offsets g --to end", "query SELECT",
    ])
  func json(_ line: String) throws {
    _ = try Quire.parseAsRoot((line + " --format json").split(separator: " ").map(String.init))
  }

  @Test(
    "what cannot be meant is a usage error",
    arguments: [
      "bogus", "consume", "consume t --from yesterday", "consume t --bogus", "consume t --bootstrap x:y",
      "produce t --partition -1",
      "produce t --format jsonl --key-separator :", "produce t --compression brotli", "topic create a/b", "topic create",
      "topic alter t", "topic create t --topic-config x", "topic create t --partitions 0", "group describe",
      "group reset-offsets g --topic t", "query SELECT --server http://a --data-dir b", "query SELECT -p x", "query --follow",
      "query SELECT --server ftp://a", "query SELECT --from end", "query SELECT --follow --data-dir d",
      "query SELECT --follow --from yesterday", "query SELECT --limit-time 5x", "query SELECT --limit-memory 0",
      "export t --format xml --output x", "export t --format jsonl",
      "export t --format jsonl --output x --from 1:2:3", "export t --format sqlite --output -",
      "export t --format csv --output x --columns y-z", "export t --format csv --output x --columns offset,time",
      "export t --format csv --output - --split-by day", "export t --format csv --output x --split-bytes 0",
      "export t --format csv --output x --incremental s --to 5", "export t --format csv --output x --resume --from -5m",
      "import t --format parquet --input -", "import t --format csv", "doctor", "serve --set x", "serve --node-id x",
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
