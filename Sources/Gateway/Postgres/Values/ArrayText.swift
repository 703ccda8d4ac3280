import NIOCore
import Query

/// Arrays, which in SQL here are texts as Postgres writes them: `{a,"b c",NULL}`; vectors are numbers with blanks between.
enum ArrayText {
  /// The elements; nil if the text is not an array of one dimension.
  static func elements(_ text: String) -> [String?]? {
    var rest = Array(text.trimmingBlanks().utf8)[...]
    guard rest.first == UInt8(ascii: "{") else {
      // A vector: blanks between numbers.
      return text.split(separator: " ").map { String($0) }
    }
    rest.removeFirst()
    guard rest.popLast() == UInt8(ascii: "}") else { return nil }
    if rest.allSatisfy({ $0 == UInt8(ascii: " ") }) { return [] }
    var elements: [String?] = []
    while true {
      while rest.first == UInt8(ascii: " ") { rest.removeFirst() }
      var bytes: [UInt8] = []
      var isQuoted = false
      if rest.first == UInt8(ascii: "\"") {
        isQuoted = true
        rest.removeFirst()
        while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
          if byte == UInt8(ascii: "\\"), let escaped = rest.popFirst() { bytes.append(escaped) } else { bytes.append(byte) }
        }
      } else {
        while let byte = rest.first, byte != UInt8(ascii: ",") {
          guard byte != UInt8(ascii: "{"), byte != UInt8(ascii: "}") else { return nil }
          bytes.append(byte)
          rest.removeFirst()
        }
        while bytes.last == UInt8(ascii: " ") { bytes.removeLast() }
      }
      let element = String(decoding: bytes, as: UTF8.self)
      elements.append(!isQuoted && element.uppercased() == "NULL" ? nil : element)
      while rest.first == UInt8(ascii: " ") { rest.removeFirst() }
      guard let separator = rest.popFirst() else { return elements }
      guard separator == UInt8(ascii: ",") else { return nil }
    }
  }

  /// Whether `text` is an array in braces whose elements can be of that type.
  static func isArray(_ text: String, of element: PostgresType) -> Bool {
    guard text.utf8.first == UInt8(ascii: "{"), let elements = elements(text) else { return false }
    return elements.allSatisfy { text in
      guard let text else { return true }
      return switch element {
      case .int2, .int4, .int8, .oid: Int64(text) != nil
      case .float4, .float8: Double(text) != nil
      case .bool: ParameterReader.truth(text) != nil
      default: true
      }
    }
  }

  static func text(_ elements: [String?]) -> String {
    "{"
      + elements.map { element in
        guard let element else { return "NULL" }
        let isPlain =
          !element.isEmpty && element.uppercased() != "NULL"
          && !element.utf8.contains { "{}\",\\ \t\n\r".utf8.contains($0) }
        return isPlain ? element : "\"\(element.replacing("\\", with: "\\\\").replacing("\"", with: "\\\""))\""
      }.joined(separator: ",") + "}"
  }

  static func writeBinary(_ text: String, of element: PostgresType, to out: inout ByteBuffer) throws(Misfit) {
    guard let elements = elements(text) else { throw Misfit(found: "a TEXT that is no array") }
    out.writeInteger(Int32(elements.isEmpty ? 0 : 1))
    out.writeInteger(Int32(elements.contains(nil) ? 1 : 0))
    out.writeInteger(element.oid)
    if elements.isEmpty { return }
    out.writeMultipleIntegers(Int32(elements.count), Int32(1))
    for value in elements {
      guard let value else {
        out.writeInteger(Int32(-1))
        continue
      }
      switch element {
      case .int2, .int4, .int8, .oid:
        guard let number = Int64(value) else { throw Misfit(found: "an array element that is no number") }
        out.writeInteger(Int32(element.size))
        switch element {
        case .int2: out.writeInteger(Int16(truncatingIfNeeded: number))
        case .int8: out.writeInteger(number)
        default: out.writeInteger(Int32(truncatingIfNeeded: number))
        }
      case .float8:
        guard let number = Double(value) else { throw Misfit(found: "an array element that is no number") }
        out.writeMultipleIntegers(Int32(8), number.bitPattern)
      case .float4:
        guard let number = Float(value) else { throw Misfit(found: "an array element that is no number") }
        out.writeMultipleIntegers(Int32(4), number.bitPattern)
      case .bool:
        guard let truth = ParameterReader.truth(value) else { throw Misfit(found: "an array element that is no boolean") }
        out.writeMultipleIntegers(Int32(1), UInt8(truth ? 1 : 0))
      case .text, .varchar, .name, .char:
        out.writeInteger(Int32(value.utf8.count))
        out.writeString(value)
      default: throw Misfit(found: "an array of \(element.sqlName), which has no binary form here")
      }
    }
  }

  /// An array that a client sent in binary, as text; nil if it is not well formed or of a type that is not known.
  static func text(binary bytes: [UInt8]) -> String? {
    var buffer = ByteBuffer(bytes: bytes)
    guard let (dimensions, _, oid) = buffer.readMultipleIntegers(as: (Int32, Int32, UInt32).self) else { return nil }
    if dimensions == 0 { return "{}" }
    guard dimensions == 1, let (count, _) = buffer.readMultipleIntegers(as: (Int32, Int32).self),
      let type = PostgresType(rawValue: oid)
    else { return nil }
    var elements: [String?] = []
    while elements.count < Int(count) {
      guard let length = buffer.readInteger(as: Int32.self) else { return nil }
      if length < 0 {
        elements.append(nil)
        continue
      }
      guard let value = buffer.readBytes(length: Int(length)),
        let parameter = try? ParameterReader.read(value, as: type, .binary)
      else { return nil }
      switch parameter {
      case .null: elements.append(nil)
      case .integer(let number): elements.append(String(number))
      case .real(let number): elements.append(ValueWriter.floatText(number))
      case .text(let text): elements.append(text)
      case .blob: return nil
      }
    }
    return text(elements)
  }
}
