import Bytes
import KafkaProtocol
import NIOCore
import TestSupport

/// Puts a random value into every field that the version has.
struct RandomFiller: FieldCoder {
  let version: Int16
  let isFlexible: Bool
  var generator: SeededRandom

  private mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }

  private mutating func buffer() -> ByteBuffer {
    let count = chance(10) ? Int.random(in: 4000...9000, using: &generator) : Int.random(in: 0...40, using: &generator)
    return ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
  }

  private mutating func null<V>(_ value: inout V?, _ nullable: Bool) -> Bool {
    guard nullable, chance(30) else { return false }
    value = nil
    return true
  }

  mutating func integer<I: FixedWidthInteger>(_ value: inout I) {
    value = I(truncatingIfNeeded: UInt64.random(in: .min ... .max, using: &generator))
    // A Bool is a byte that is 0 or 1.
    if I.self == UInt8.self { value &= 1 }
  }

  mutating func string(_ value: inout String) {
    let alphabet = Array("abcXYZ019-_. éЖ事")
    let length = Int.random(in: 0...(chance(10) ? 200 : 12), using: &generator)
    value = String((0..<length).map { _ in alphabet.randomElement(using: &generator)! })
  }

  mutating func bytes(_ value: inout ByteBuffer) { value = buffer() }

  mutating func array<E: FieldValue>(_ elements: inout [E]) throws(WireError) {
    elements = []
    for _ in 0..<Int.random(in: 0...3, using: &generator) {
      var element = E.initialValue
      try element.code(&self)
      elements.append(element)
    }
  }

  mutating func string(_ value: inout String?, nullable: Bool) {
    if null(&value, nullable) { return }
    var present = ""
    string(&present)
    value = present
  }

  mutating func bytes(_ value: inout ByteBuffer?, nullable: Bool) {
    if !null(&value, nullable) { value = buffer() }
  }

  mutating func array<E: FieldValue>(_ elements: inout [E]?, nullable: Bool) throws(WireError) {
    if null(&elements, nullable) { return }
    var present: [E] = []
    try array(&present)
    elements = present
  }

  mutating func records(_ value: inout RecordsField?, nullable: Bool) {
    if !null(&value, nullable) { value = RecordsField(chunks: (0...(chance(50) ? 0 : 2)).map { _ in buffer() }) }
  }

  mutating func structure<S: WireStruct>(_ value: inout S?, nullable: Bool) throws(WireError) {
    if null(&value, nullable) { return }
    var present = S()
    try present.fields(&self)
    value = present
  }

  mutating func tagged(
    _ tag: UInt32, isDefault: Bool, _ code: (inout Self) throws(WireError) -> Void
  ) throws(WireError) {
    if isFlexible, chance(60) { try code(&self) }
  }

  mutating func endOfStruct(_ unknown: inout [TaggedField]) {
    guard isFlexible, chance(20) else { return }
    unknown = [100, 7000].map { TaggedField(tag: $0, bytes: buffer()) }
  }
}
