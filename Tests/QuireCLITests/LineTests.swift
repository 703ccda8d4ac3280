import Export
import Testing

@testable import QuireCLI

@Suite("Lines in")
struct LineTests {
  private func lines(_ chunks: [[UInt8]], lineBytesMax: Int = 1000) throws -> [[UInt8]] {
    var splitter = LineSplitter(lineBytesMax: lineBytesMax)
    var lines: [[UInt8]] = []
    for chunk in chunks {
      splitter.append(chunk)
      while let line = try splitter.nextLine({ line, _ in Array(line) }) { lines.append(line) }
    }
    splitter.finish()
    while let line = try splitter.nextLine({ line, _ in Array(line) }) { lines.append(line) }
    return lines
  }

  @Test("every byte counts, wherever the chunks are cut, and a last line without LF too")
  func everyCut() throws {
    let text: [UInt8] = [0x61, 0x0D, 0x0A, 0x0A, 0xFF, 0x00, 0x0A, 0x62]
    let expected: [[UInt8]] = [[0x61, 0x0D], [], [0xFF, 0x00], [0x62]]
    for first in 0...text.count {
      for second in first...text.count {
        #expect(try lines([Array(text[..<first]), Array(text[first..<second]), Array(text[second...])]) == expected)
      }
    }
  }

  @Test("a final LF makes no empty line")
  func finalFeed() throws {
    #expect(try lines([Array("a\n".utf8)]) == [Array("a".utf8)])
    #expect(try lines([[]]) == [])
    #expect(try lines([Array("\n".utf8)]) == [[]])
  }

  @Test("a line without end does not fill the memory")
  func tooLong() throws {
    #expect(throws: LineSplitter.LineTooLong.self) {
      try lines([[UInt8](repeating: 65, count: 600), [UInt8](repeating: 65, count: 600)])
    }
  }

  private func split(_ line: String, at separator: String) throws -> [String?] {
    let lines = LineRecords(format: .lines, keySeparator: Array(separator.utf8))
    return try Array(line.utf8).withUnsafeBytes { bytes in
      try lines.withRecord(of: bytes) { record in
        [record.key.map { String(decoding: $0, as: UTF8.self) }, record.value.map { String(decoding: $0, as: UTF8.self) }]
      }
    }
  }

  @Test("the first separator ends the key; without one there is no key")
  func keys() throws {
    #expect(try split("a:b:c", at: ":") == ["a", "b:c"])
    #expect(try split(":b", at: ":") == ["", "b"])
    #expect(try split("a::", at: "::") == ["a", ""])
    #expect(try split("a:b", at: "::") == [nil, "a:b"])
    #expect(try split("a::::b", at: ":::") == ["a", ":b"])
    #expect(try split("", at: ":") == [nil, ""])
  }
}

@Suite("Records as JSON")
struct RecordJSONTests {
  private func read(_ line: String) throws -> ImportedRecord {
    try Array(line.utf8).withUnsafeBytes { try RecordJSON.read($0) }
  }

  @Test("a record of an export is read back")
  func exported() throws {
    let record = try read(
      #"{"topic":"t","partition":2,"offset":7,"timestamp":12,"key":"k\u00e9\ud83d\ude00","key_encoding":"utf8","#
        + #""value":"AP8=","value_encoding":"base64","headers":[["a","b"],["a",{"base64":"/w=="}],["n",null]]}"#)
    #expect(record.partition == 2)
    #expect(record.timestamp == 12)
    #expect(record.key == Array("ké😀".utf8))
    #expect(record.value == [0, 0xFF])
    #expect(
      record.headers == [
        .init(name: "a", value: [0x62]), .init(name: "a", value: [0xFF]), .init(name: "n", value: nil),
      ])
  }

  @Test("null is not empty")
  func nulls() throws {
    #expect(try read(#"{"value":null}"#).value == nil)
    #expect(try read(#"{"value":""}"#).value == [])
    #expect(try read(#"{"key":null,"key_encoding":"null","value":"x"}"#).key == nil)
  }

  @Test(
    "what is no record is refused",
    arguments: [
      "", "[]", "1", "{}", #"{"key":"a"}"#, #"{"value":{"a":1}}"#, #"{"value":"a","vlaue":"b"}"#,
      #"{"value":"%","value_encoding":"base64"}"#, #"{"value":"a","value_encoding":"hex"}"#,
      #"{"value":null,"value_encoding":"utf8"}"#, #"{"value":"a","timestamp":"now"}"#, #"{"value":"a","timestamp":1.5}"#,
      #"{"value":"a","partition":4294967296}"#, #"{"value":"a","headers":[["a"]]}"#, #"{"value":"a","headers":{"a":"b"}}"#,
      #"{"value":"a"} x"#, #"{"value":"\ud800"}"#, "{\"value\":\"a\u{1}\"}", #"{"value":"a"#,
    ])
  func refused(_ line: String) {
    #expect(throws: RecordJSON.Failure.self) { try read(line) }
  }

  @Test("nesting has a bound")
  func nesting() {
    let deep = String(repeating: "[", count: 100_000)
    #expect(throws: JSONReader.Failure.self) { try Array(deep.utf8).withUnsafeBytes { try JSONReader.read($0) } }
  }

  @Test("no cut of a JSON text traps, and none but the whole is accepted")
  func cuts() throws {
    let text = Array(#"{"a":[1,-2.5e+3,true,false,null,"\"\\\n\u12ab"],"b":{}}"#.utf8)
    for end in 0..<text.count {
      #expect(throws: JSONReader.Failure.self) { try text[..<end].withUnsafeBytes { try JSONReader.read($0) } }
    }
    #expect(try text.withUnsafeBytes { try JSONReader.read($0) }["a"] != nil)
  }

  @Test("Base64 of every length, and only of whole bytes")
  func base64() {
    #expect(Base64.decode("") == [])
    #expect(Base64.decode("AA==") == [0])
    #expect(Base64.decode("AAE=") == [0, 1])
    #expect(Base64.decode("AAEC") == [0, 1, 2])
    for wrong in ["A", "AA", "AAA", "A===", "AB==", "AAF=", "A A=", "====", "AA==AA=="] { #expect(Base64.decode(wrong) == nil) }
  }
}
