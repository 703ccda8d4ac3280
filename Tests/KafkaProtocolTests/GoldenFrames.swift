import Glibc
import KafkaProtocol
import NIOCore

/// A frame that another implementation wrote.
struct GoldenFrame {
  var isRequest: Bool
  var version: Int16
  var bytes: [UInt8]

  var buffer: ByteBuffer { ByteBuffer(bytes: bytes) }

  /// Those of one API, from `Tests/Fixtures/protocol`.
  static func all(_ key: APIKey) throws -> [GoldenFrame] {
    let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Fixtures/protocol"
    let name = "\(key)"
    let number = key.rawValue < 10 ? "0\(key.rawValue)" : "\(key.rawValue)"
    let path = "/\(folder)/\(number)-\(name.prefix(1).uppercased())\(name.dropFirst()).txt"
    return try text(path).split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
      let words = line.split(separator: " ")
      guard words.count == 4, let version = Int16(words[1]), let bytes = fromHex(words[3]) else {
        throw UnreadableFixture(path: path)
      }
      return GoldenFrame(isRequest: words[0] == "request", version: version, bytes: bytes)
    }
  }

  private static func text(_ path: String) throws -> String {
    guard let file = fopen(path, "r") else { throw UnreadableFixture(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      bytes += chunk[..<count]
    }
  }
}

struct UnreadableFixture: Error {
  var path: String
}

/// Bytes of an even number of hex digits; spaces may stand between them.
func fromHex(_ text: some StringProtocol) -> [UInt8]? {
  let digits = text.utf8.filter { $0 != 0x20 && $0 != 0x0A }.map { Character(UnicodeScalar($0)).hexDigitValue }
  guard digits.count % 2 == 0, digits.allSatisfy({ $0 != nil }) else { return nil }
  return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0]! << 4 | digits[$0 + 1]!) }
}

func hex(_ buffer: ByteBuffer) -> String {
  buffer.readableBytesView.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
