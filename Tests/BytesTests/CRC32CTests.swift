import Bytes
import Testing

@Suite("CRC32C")
struct CRC32CTests {
  static func slow(_ bytes: [UInt8]) -> UInt32 {
    var crc: UInt32 = ~0
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
    }
    return ~crc
  }
  static func fast(_ bytes: [UInt8], seed: UInt32 = 0) -> UInt32 { bytes.withUnsafeBytes { CRC32C.checksum($0, seed: seed) } }

  @Test("the check value of RFC 3720 holds")
  func checkValue() { #expect(Self.fast(Array("123456789".utf8)) == 0xE306_9283) }

  @Test("the interleaved streams agree with the definition at every length around their blocks")
  func blocks() {
    let bytes = (0..<13_000).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ ($0 >> 5)) }
    for length in [0, 1, 7, 8, 9, 767, 768, 769, 12_287, 12_288, 12_289, 13_000] {
      #expect(Self.fast(Array(bytes[..<length])) == Self.slow(Array(bytes[..<length])), "length \(length)")
    }
  }

  @Test("a checksum continues from the one before")
  func continues() {
    let bytes = Array("the quick brown fox jumps over the lazy dog".utf8)
    #expect(Self.fast(Array(bytes[9...]), seed: Self.fast(Array(bytes[..<9]))) == Self.fast(bytes))
  }
}
