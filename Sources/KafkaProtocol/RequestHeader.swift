public import Bytes
public import NIOCore

/// What stands in front of every request.
///
/// Header version 1 has these four fields; version 2, that of flexible requests, adds a tagged section. The client id
/// keeps its two-byte length in both, so that a broker can read the beginning without knowing the version.
public struct RequestHeader: Equatable, Sendable {
  /// As sent; `APIKey(rawValue:)` is nil for a request that we do not know.
  public var apiKey: Int16
  public var apiVersion: Int16
  /// The client's number for the request, which the response repeats.
  public var correlationID: Int32
  public var clientID: String?

  public init(apiKey: Int16, apiVersion: Int16, correlationID: Int32, clientID: String?) {
    self.apiKey = apiKey
    self.apiVersion = apiVersion
    self.correlationID = correlationID
    self.clientID = clientID
  }

  var isFlexible: Bool { APIKey(rawValue: apiKey).map { ServedVersions.isFlexible($0, apiVersion) } ?? false }

  /// Reads the header; `frame` then stands at the message. The tagged fields, of which Kafka has none, are dropped.
  ///
  /// A client id is for people to read: as in Kafka, what is not UTF-8 in it becomes U+FFFD, and the request is served.
  ///
  /// - Throws: if the header is cut short; `frame` is as it was.
  public static func decode(from frame: inout ByteBuffer) throws(WireError) -> RequestHeader {
    let (header, length) = try frame.withReader { (reader: inout ByteReader) throws(WireError) -> (RequestHeader, Int) in
      var header = RequestHeader(
        apiKey: try reader.integer(), apiVersion: try reader.integer(), correlationID: try reader.integer(), clientID: nil)
      let idLength = Int(try reader.integer(Int16.self))
      guard idLength >= -1 else { throw .implausibleLength(Int64(idLength)) }
      if idLength >= 0 { header.clientID = String(decoding: try reader.bytes(idLength), as: UTF8.self) }
      if header.isFlexible { try reader.skipTaggedFields() }
      return (header, reader.index)
    }
    frame.moveReaderIndex(forwardBy: length)
    return header
  }

  func encode(to writer: inout MessageWriter) {
    writer.write(apiKey)
    writer.write(apiVersion)
    writer.write(correlationID)
    writer.writeShortText(clientID)
    if isFlexible {
      var none: [TaggedField] = []
      writer.endOfStruct(&none)
    }
  }
}

extension ByteReader {
  /// The tagged section of a header.
  mutating func skipTaggedFields() throws(WireError) {
    let count = Int(try unsignedVarint())
    guard count <= MessageReader.taggedFieldsMax else { throw .implausibleLength(Int64(count)) }
    for _ in 0..<count {
      _ = try unsignedVarint()
      try skip(Int(try unsignedVarint()))
    }
  }
}
