/// A value of an object in a list of such, as settings have them: texts and flags, nothing nested.
enum FlatJSON: Hashable {
  case text(String)
  case flag(Bool)

  /// Reads `[{"name": "text", "flag": true}, …]`.
  static func objects(_ text: String) throws(ColumnSyntaxError) -> [[(key: String, value: FlatJSON)]] {
    var reader = Reader(bytes: Array(text.utf8))
    var objects: [[(key: String, value: FlatJSON)]] = []
    try reader.expect("[", "a JSON array of objects")
    if reader.take("]") { return try reader.end(objects) }
    repeat { objects.append(try reader.object()) } while reader.take(",")
    try reader.expect("]", "a ',' or the ']' of the array")
    return try reader.end(objects)
  }

  static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case "\r": out += "\\r"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }

  private struct Reader {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func skipBlanks() {
      while position < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[position]) { position += 1 }
    }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      skipBlanks()
      guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    mutating func expect(_ character: Unicode.Scalar, _ words: String) throws(ColumnSyntaxError) {
      guard take(character) else { throw failure("expected \(words)") }
    }

    func failure(_ words: String) -> ColumnSyntaxError { ColumnSyntaxError("at byte \(position): \(words)") }

    mutating func end<Value>(_ value: Value) throws(ColumnSyntaxError) -> Value {
      skipBlanks()
      guard position == bytes.count else { throw failure("something follows the array") }
      return value
    }

    mutating func object() throws(ColumnSyntaxError) -> [(key: String, value: FlatJSON)] {
      var members: [(key: String, value: FlatJSON)] = []
      try expect("{", "an object")
      if take("}") { return members }
      repeat {
        let key = try string("a member's name in double quotes")
        try expect(":", "a ':'")
        members.append((key, try value()))
        guard members.count <= 16 else { throw failure("an object has too many members") }
      } while take(",")
      try expect("}", "a ',' or the '}' of the object")
      return members
    }

    mutating func value() throws(ColumnSyntaxError) -> FlatJSON {
      skipBlanks()
      for (word, flag) in [("true", true), ("false", false)] where bytes[position...].starts(with: word.utf8) {
        position += word.utf8.count
        return .flag(flag)
      }
      return .text(try string("a text in double quotes, true or false"))
    }

    mutating func string(_ words: String) throws(ColumnSyntaxError) -> String {
      try expect("\"", words)
      var utf8: [UInt8] = []
      while position < bytes.count {
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""):
          guard let text = String(validating: utf8, as: UTF8.self) else { throw failure("a text that is not UTF-8") }
          return text
        case UInt8(ascii: "\\"): utf8 += try escaped()
        case 0..<0x20: throw failure("a control character in a text")
        default: utf8.append(byte)
        }
      }
      throw failure("a text without its end")
    }

    private mutating func escaped() throws(ColumnSyntaxError) -> [UInt8] {
      guard position < bytes.count else { throw failure("a text without its end") }
      let letter = bytes[position]
      position += 1
      switch letter {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [letter]
      case UInt8(ascii: "n"): return [0x0A]
      case UInt8(ascii: "t"): return [0x09]
      case UInt8(ascii: "r"): return [0x0D]
      case UInt8(ascii: "b"): return [0x08]
      case UInt8(ascii: "f"): return [0x0C]
      case UInt8(ascii: "u"):
        var code = try unit()
        if code & 0xFC00 == 0xD800, bytes[position...].starts(with: "\\u".utf8) {
          position += 2
          let low = try unit()
          code = low & 0xFC00 == 0xDC00 ? 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF) : 0xD800
        }
        guard let scalar = Unicode.Scalar(code), code != 0 else { throw failure("an escape that is no character") }
        return Array(String(Character(scalar)).utf8)
      default: throw failure("an unknown escape")
      }
    }

    private mutating func unit() throws(ColumnSyntaxError) -> UInt32 {
      guard position + 4 <= bytes.count,
        let code = UInt32(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
      else { throw failure("an escape that is no character") }
      position += 4
      return code
    }
  }
}
