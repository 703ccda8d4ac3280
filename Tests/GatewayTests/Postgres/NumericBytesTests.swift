import NIOCore
import Query
import Testing

@testable import Gateway

@Suite struct NumericBytesTests {
  private func bytes(_ numbers: Int16...) -> [UInt8] {
    numbers.flatMap { [UInt8(truncatingIfNeeded: $0 >> 8), UInt8(truncatingIfNeeded: $0)] }
  }

  // As a server of Postgres sends them.
  @Test("decimal numbers are written as Postgres writes them")
  func known() {
    for (text, wanted) in [
      ("0", bytes(0, 0, 0, 0)), ("1", bytes(1, 0, 0, 0, 1)), ("-1", bytes(1, 0, 0x4000, 0, 1)), ("10000", bytes(1, 1, 0, 0, 1)),
      ("12345.678", bytes(3, 1, 0, 3, 1, 2345, 6780)), ("0.0001", bytes(1, -1, 0, 4, 1)), ("0.00001", bytes(1, -2, 0, 5, 1000)),
      ("1e+20", bytes(1, 5, 0, 0, 1)), ("1.5e-07", bytes(1, -2, 0, 8, 15)),
    ] {
      var buffer = ByteBuffer()
      NumericBytes.write(text, to: &buffer)
      #expect(Array(buffer.readableBytesView) == wanted, "\(text)")
    }
  }

  @Test("what is written is read as the same number, whole numbers exactly")
  func roundTrip() throws {
    for number in [0, 1, -7, 9999, 10_000, 123_456_789, .max, .min, 1 << 53 + 1] as [Int64] {
      var buffer = ByteBuffer()
      NumericBytes.write("\(number)", to: &buffer)
      #expect(try ParameterReader.read(Array(buffer.readableBytesView), as: .numeric, .binary) == .integer(number))
    }
    for number in [0.5, -1234.5678, 1e-300, 1.7976931348623157e308, .leastNormalMagnitude, 3.14, 0.1] {
      var buffer = ByteBuffer()
      NumericBytes.write(ValueWriter.floatText(number), to: &buffer)
      #expect(try ParameterReader.read(Array(buffer.readableBytesView), as: .numeric, .binary) == .real(number))
    }
    for strange in [
      [], bytes(1, 0, 0, 0), bytes(-1, 0, 0, 0), bytes(1, 0, 7, 0, 1), bytes(1, 0, 0, 0, 10_000), bytes(0, 0, 0, -1),
    ] {
      #expect(throws: PostgresError.self) { try ParameterReader.read(strange, as: .numeric, .binary) }
    }
  }
}
