public import Bytes
public import NIOCore

/// Messages to bytes and back.
public enum KafkaMessageCodec {
  /// Reads a whole message; `frame` is then at its end.
  ///
  /// Records are slices that share `frame`'s storage; everything else is copied out of it.
  ///
  /// - Parameter frame: what is behind the header.
  /// - Parameter ignoringRest: whether bytes behind the message are let pass. Some clients leave a few (librdkafka behind Metadata 12
  ///   and ListGroups), and Kafka's broker never looks at them.
  /// - Throws: if the bytes are not exactly one message of that version; `frame` is as it was.
  public static func decode<T: KafkaMessage>(
    _: T.Type = T.self, from frame: inout ByteBuffer, version: Int16, ignoringRest: Bool = false
  ) throws(WireError) -> T {
    let whole = frame
    let message = try whole.withReadableRaw { (bytes: UnsafeRawBufferPointer) throws(WireError) -> T in
      var message = T()
      var reader = MessageReader(
        bytes, of: whole, version: version, isFlexible: ServedVersions.isFlexible(T.apiKey, version))
      try message.read(from: &reader)
      guard ignoringRest || reader.index == bytes.count else {
        throw .malformed("\(bytes.count - reader.index) bytes are left behind the message")
      }
      return message
    }
    frame.moveReaderIndex(to: frame.writerIndex)
    return message
  }

  /// Reads a response with its header, as a client does that knows which request it answers.
  ///
  /// - Parameter ignoringRest: as above: librdkafka's mock brokers leave a byte behind Metadata 12, and no client minds.
  public static func decodeResponse<T: KafkaResponse>(
    _: T.Type = T.self, from frame: inout ByteBuffer, version: Int16, ignoringRest: Bool = false
  ) throws(WireError) -> (correlationID: Int32, response: T) {
    let isFlexible = hasFlexibleResponseHeader(T.apiKey, version)
    let (correlationID, length) = try frame.withReader { (reader: inout ByteReader) throws(WireError) -> (Int32, Int) in
      let correlationID: Int32 = try reader.integer()
      if isFlexible { try reader.skipTaggedFields() }
      return (correlationID, reader.index)
    }
    var body = frame
    body.moveReaderIndex(forwardBy: length)
    let response: T = try decode(from: &body, version: version, ignoringRest: ignoringRest)
    frame.moveReaderIndex(to: frame.writerIndex)
    return (correlationID, response)
  }

  /// A frame with header and request.
  public static func encodeRequest<T: KafkaRequest>(
    _ request: T, version: Int16, correlationID: Int32, clientID: String?
  ) -> EncodedMessage {
    var writer = MessageWriter(version: version, isFlexible: ServedVersions.isFlexible(T.apiKey, version))
    writer.write(Int32(0))
    RequestHeader(
      apiKey: T.apiKey.rawValue, apiVersion: version, correlationID: correlationID, clientID: clientID
    ).encode(to: &writer)
    request.write(to: &writer)
    return writer.finishFrame()
  }

  /// A frame with header and response.
  public static func encodeResponse<T: KafkaResponse>(
    _ response: T, correlationID: Int32, version: Int16
  ) -> EncodedMessage {
    var writer = MessageWriter(version: version, isFlexible: ServedVersions.isFlexible(T.apiKey, version))
    writer.write(Int32(0))
    writer.write(correlationID)
    if hasFlexibleResponseHeader(T.apiKey, version) {
      var none: [TaggedField] = []
      writer.endOfStruct(&none)
    }
    response.write(to: &writer)
    return writer.finishFrame()
  }

  /// A client that asked with a version that we do not have reads our ApiVersions reply before it knows ours: that reply's
  /// header never changes (KIP-511).
  private static func hasFlexibleResponseHeader(_ key: APIKey, _ version: Int16) -> Bool {
    key != .apiVersions && ServedVersions.isFlexible(key, version)
  }
}
