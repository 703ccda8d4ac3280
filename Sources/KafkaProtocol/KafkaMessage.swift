public import Bytes

/// A run of fields on the wire: a message, or a struct inside one.
public protocol WireStruct: NullableFieldValue {
  init()
  /// Names every field of `coder.version` in the order of the wire, tagged ones last, then `endOfStruct`.
  ///
  /// One list for both directions: what reads a message and what writes it cannot disagree.
  mutating func fields<C: FieldCoder>(_ c: inout C) throws(WireError)
}

extension WireStruct {
  public static var initialValue: Self { Self() }
  public mutating func code<C: FieldCoder>(_ coder: inout C) throws(WireError) { try fields(&coder) }

  public static func code<C: FieldCoder>(
    _ value: inout Self?, nullable: Bool, _ coder: inout C
  ) throws(WireError) { try coder.structure(&value, nullable: nullable) }
}

/// A request or a response.
public protocol KafkaMessage: WireStruct {
  static var apiKey: APIKey { get }
  /// Reads the fields of the reader's version.
  ///
  /// A requirement although every message takes the default: called through it, the field list runs specialised to the reader.
  mutating func read(from reader: inout MessageReader) throws(WireError)
  /// Writes the fields of the writer's version; those that it lacks are left out.
  func write(to writer: inout MessageWriter)
}

extension KafkaMessage {
  public mutating func read(from reader: inout MessageReader) throws(WireError) { try fields(&reader) }

  public func write(to writer: inout MessageWriter) {
    // Field lists take their struct as inout for the sake of reading; writing changes nothing in the copy.
    var copy = self
    do throws(WireError) { try copy.fields(&writer) } catch { preconditionFailure("a writer refuses nothing: \(error)") }
  }
}

public protocol KafkaRequest: KafkaMessage {
  associatedtype Response: KafkaResponse
}

public protocol KafkaResponse: KafkaMessage {}
