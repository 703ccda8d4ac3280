public import Bytes
public import Model
public import NIOCore

/// What a field list is run against: a reader, a writer, or something that only wants to know the fields.
///
/// A reader assigns to the fields it is given, a writer only looks at them.
public protocol FieldCoder {
  /// The version of the message at hand.
  var version: Int16 { get }
  /// Whether that version has compact lengths and tagged fields (KIP-482).
  var isFlexible: Bool { get }

  mutating func integer<I: FixedWidthInteger>(_ value: inout I) throws(WireError)
  mutating func string(_ value: inout String) throws(WireError)
  mutating func bytes(_ value: inout ByteBuffer) throws(WireError)
  mutating func array<E: FieldValue>(_ elements: inout [E]) throws(WireError)

  // Where `nullable` is false the version at hand cannot say null: a reader refuses it, a writer puts the empty value.
  mutating func string(_ value: inout String?, nullable: Bool) throws(WireError)
  mutating func bytes(_ value: inout ByteBuffer?, nullable: Bool) throws(WireError)
  mutating func array<E: FieldValue>(_ elements: inout [E]?, nullable: Bool) throws(WireError)
  mutating func records(_ value: inout RecordsField?, nullable: Bool) throws(WireError)
  mutating func structure<S: WireStruct>(_ value: inout S?, nullable: Bool) throws(WireError)

  /// A field of the tagged section, which is written only if it is not the default.
  /// Those of one struct come in ascending order behind its other fields, in flexible versions only.
  mutating func tagged(
    _ tag: UInt32, isDefault: Bool, _ code: (inout Self) throws(WireError) -> Void
  ) throws(WireError)
  /// The end of a struct: in flexible versions its tagged section.
  ///
  /// - Parameter unknown: the tagged fields that the list does not name, kept so that they can be passed on.
  mutating func endOfStruct(_ unknown: inout [TaggedField]) throws(WireError)
}

extension FieldCoder {
  mutating func field<V: FieldValue>(_ value: inout V) throws(WireError) { try value.code(&self) }

  mutating func field<V: NullableFieldValue>(_ value: inout V?, nullable: Bool = true) throws(WireError) {
    try V.code(&value, nullable: nullable, &self)
  }

  mutating func tag<V: FieldValue & Equatable>(
    _ tag: UInt32, _ value: inout V, default initial: V
  ) throws(WireError) {
    try tagged(tag, isDefault: value == initial) { (c: inout Self) throws(WireError) in try value.code(&c) }
  }

  /// A tagged field that is absent when nil.
  mutating func tag<V: NullableFieldValue>(_ tag: UInt32, _ value: inout V?) throws(WireError) {
    try tagged(tag, isDefault: value == nil) { (c: inout Self) throws(WireError) in
      try V.code(&value, nullable: true, &c)
    }
  }
}

/// A tagged field that this version of the program does not know.
public struct TaggedField: Equatable, Sendable {
  public var tag: UInt32
  /// Its bytes, a slice of the frame it came in.
  public var bytes: ByteBuffer

  public init(tag: UInt32, bytes: ByteBuffer) {
    self.tag = tag
    self.bytes = bytes
  }
}

/// What may stand in a field.
public protocol FieldValue: Sendable {
  static var initialValue: Self { get }
  /// The fewest bytes a value takes on the wire: bounds how many of them an array can hold.
  static var wireBytesMin: Int { get }
  mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError)
}

extension FieldValue {
  public static var wireBytesMin: Int { 1 }
}

/// What may be null in a field.
public protocol NullableFieldValue: FieldValue, Equatable {
  static func code<C: FieldCoder>(_ value: inout Self?, nullable: Bool, _ coder: inout C) throws(WireError)
}

extension FixedWidthInteger where Self: FieldValue {
  public static var initialValue: Self { 0 }
  public static var wireBytesMin: Int { MemoryLayout<Self>.size }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try coder.integer(&self) }
}

extension Int8: FieldValue {}
extension Int16: FieldValue {}
extension Int32: FieldValue {}
extension Int64: FieldValue {}

extension Bool: FieldValue {
  public static var initialValue: Bool { false }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) {
    var byte: UInt8 = self ? 1 : 0
    try coder.integer(&byte)
    self = byte != 0
  }
}

extension ErrorCode: FieldValue {
  public static var initialValue: ErrorCode { .none }
  public static var wireBytesMin: Int { 2 }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try coder.integer(&rawValue) }
}

extension TopicID: FieldValue {
  public static var initialValue: TopicID { .zero }
  public static var wireBytesMin: Int { 16 }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) {
    try coder.integer(&high)
    try coder.integer(&low)
  }
}

extension String: NullableFieldValue {
  public static var initialValue: String { "" }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try coder.string(&self) }
  public static func code<C: FieldCoder>(
    _ value: inout String?, nullable: Bool, _ coder: inout C
  ) throws(WireError) { try coder.string(&value, nullable: nullable) }
}

extension ByteBuffer: NullableFieldValue {
  public static var initialValue: ByteBuffer { ByteBuffer() }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try coder.bytes(&self) }
  public static func code<C: FieldCoder>(
    _ value: inout ByteBuffer?, nullable: Bool, _ coder: inout C
  ) throws(WireError) { try coder.bytes(&value, nullable: nullable) }
}

extension Array: FieldValue where Element: FieldValue {
  public static var initialValue: [Element] { [] }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try coder.array(&self) }
}

extension Array: NullableFieldValue where Element: FieldValue & Equatable {
  public static func code<C: FieldCoder>(
    _ value: inout [Element]?, nullable: Bool, _ coder: inout C
  ) throws(WireError) { try coder.array(&value, nullable: nullable) }
}
