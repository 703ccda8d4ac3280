import Glibc
import Testing

@testable import QuireCLI

struct StatementSplitterTests {
  private func statements(_ text: String) -> [String] {
    var splitter = StatementSplitter()
    var found = text.split(separator: "\n", omittingEmptySubsequences: false).flatMap { splitter.take($0.utf8) }
    if let last = splitter.finish() { found.append(last) }
    return found.map(\.sql)
  }

  @Test(
    "statements end at semicolons that are not within quotes or comments",
    arguments: [
      ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]), ("SELECT ';''\n;' ;", ["SELECT ';''\n;'"]),
      ("SELECT \"a;\" , `b;`, [c;];x", ["SELECT \"a;\" , `b;`, [c;]", "x"]),
      ("SELECT 1 -- one; '\n;SELECT 2", ["SELECT 1 -- one; '", "SELECT 2"]),
      ("/* ; ' */ SELECT 1 /* ;\n; */;", ["/* ; ' */ SELECT 1 /* ;\n; */"]),
      (";;\n ; -- nothing\n/* */", []), ("SELECT 'ä;ö'", ["SELECT 'ä;ö'"]), ("SELECT 1 - -1;", ["SELECT 1 - -1"]),
    ])
  func cuts(text: String, expected: [String]) {
    #expect(statements(text) == expected)
  }

  @Test("a statement knows its line, its parameters and whether it is finished")
  func knows() {
    var splitter = StatementSplitter()
    #expect(splitter.take("".utf8).isEmpty && !splitter.isWithin)
    #expect(splitter.take("SELECT :a, 'x :no', @b -- :c".utf8).isEmpty)
    #expect(splitter.isWithin && splitter.openQuote == nil)
    #expect(splitter.take("|| 'open".utf8).isEmpty && splitter.openQuote == "'")
    let found = splitter.take("', $d;".utf8)
    #expect(found.map(\.line) == [2] && found.map(\.parameters) == [["a", "b", "d"]])
    #expect(!splitter.isWithin)
  }

  @Test("lines from a pipe are bounded, and lines in front of one that is too long are had")
  func lines() throws {
    var ends: [CInt] = [-1, -1]
    #expect(pipe(&ends) == 0)
    defer { close(ends[0]) }
    let text = Array("one\n0123456789\n0123456789x".utf8)
    #expect(write(ends[1], text, text.count) == text.count)
    close(ends[1])
    let lines = PlainLines(ends[0], lineBytesMax: 10)
    #expect(try lines.next() == .bytes(Array("one".utf8)))
    #expect(try lines.next() == .bytes(Array("0123456789".utf8)))
    #expect(throws: CommandFailure.self) { try lines.next() }
  }
}

struct DotCommandTests {
  @Test(
    "words are between white space, or within quotes",
    arguments: [
      (".tables", [".tables"]), (".param  set a 'x y'", [".param", "set", "a", "x y"]),
      (".read \"a 'b' c\"", [".read", "a 'b' c"]),
      (".schema ''", [".schema", ""]),
    ])
  func words(line: String, expected: [String]) {
    #expect(DotCommand.words(line) == expected)
  }

  @Test("an error shows its place in the line it is in")
  func places() {
    let failure = Dialogue.Failure(message: "no such column: b", sql: "SELECT a,\n  ä, b\nFROM t", position: 16)
    #expect(failure.explained == "error: no such column: b\n    ä, b\n       ^")
  }
}
