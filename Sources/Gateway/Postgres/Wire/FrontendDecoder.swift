import Model
import NIOCore

/// Takes a client's bytes apart, however they are cut. Bounded: no message is longer than its limit, and no memory is reserved for
/// one before its bytes are there.
struct FrontendDecoder {
  enum Item: Hashable {
    case startup(StartupRequest)
    case message(FrontendMessage)
  }

  private var bytes = ByteBuffer()
  private(set) var isStarted = false

  /// Bytes that have arrived and belong to no whole message yet.
  var pendingBytes: Int { bytes.readableBytes }

  mutating func append(_ more: ByteBuffer) {
    if bytes.readableBytes == 0 { bytes = more } else { bytes.writeImmutableBuffer(more) }
  }

  /// The next whole message; nil until more bytes are there.
  mutating func next() throws(ProtocolViolation) -> Item? {
    guard isStarted else { return try nextStartup().map(Item.startup) }
    guard let kind = bytes.getInteger(at: bytes.readerIndex, as: UInt8.self),
      let length = bytes.getInteger(at: bytes.readerIndex + 1, as: UInt32.self)
    else { return nil }
    guard length >= 4, length <= UInt32(Limits.postgresMessageBytesMax) else {
      throw ProtocolViolation(message: "a message has \(length) bytes; at most \(Limits.postgresMessageBytesMax) are taken")
    }
    guard bytes.readableBytes >= 1 + Int(length) else { return nil }
    bytes.moveReaderIndex(forwardBy: 5)
    guard var body = bytes.readSlice(length: Int(length) - 4) else { return nil }
    let message = try Self.message(kind, &body)
    if bytes.readableBytes == 0 { bytes.clear() } else if bytes.readerIndex > 1 << 16 { bytes.discardReadBytes() }
    return .message(message)
  }

  private mutating func nextStartup() throws(ProtocolViolation) -> StartupRequest? {
    guard let length = bytes.getInteger(at: bytes.readerIndex, as: UInt32.self) else { return nil }
    guard length >= 8, length <= UInt32(Limits.postgresStartupBytesMax) else {
      throw ProtocolViolation(message: "invalid length of startup packet")
    }
    guard bytes.readableBytes >= Int(length) else { return nil }
    bytes.moveReaderIndex(forwardBy: 4)
    guard var body = bytes.readSlice(length: Int(length) - 4), let code = body.readInteger(as: UInt32.self) else { return nil }
    switch code {
    case 80_877_103, 80_877_104:
      // What follows a request for encryption is read only after its answer: bytes that are here already would be an attack.
      guard bytes.readableBytes == 0 else { throw ProtocolViolation(message: "received unencrypted data after SSL request") }
      return .encryption
    case 80_877_102:
      guard let (processID, secret) = body.readMultipleIntegers(as: (UInt32, UInt32).self) else {
        throw ProtocolViolation(message: "invalid cancel request")
      }
      return .cancel(processID: processID, secret: secret)
    default:
      guard code >> 16 == 3 else {
        throw ProtocolViolation(
          code: .featureNotSupported,
          message: "unsupported frontend protocol \(code >> 16).\(code & 0xFFFF): server supports 3.0")
      }
      isStarted = true
      return .session(minorVersion: UInt16(code & 0xFFFF), parameters: try Self.parameters(&body))
    }
  }

  private static func parameters(_ body: inout ByteBuffer) throws(ProtocolViolation) -> [String: String] {
    var parameters: [String: String] = [:]
    while true {
      guard let name = try? body.readCString() else { throw ProtocolViolation(message: "invalid startup packet layout") }
      if name.isEmpty { break }
      guard let value = try? body.readCString() else { throw ProtocolViolation(message: "invalid startup packet layout") }
      parameters[name] = value
    }
    guard body.readableBytes == 0 else {
      throw ProtocolViolation(message: "invalid startup packet layout: expected terminator as last byte")
    }
    return parameters
  }

  private static func message(_ kind: UInt8, _ body: inout ByteBuffer) throws(ProtocolViolation) -> FrontendMessage {
    let known: Set<UInt8> = Set("QPBDECSHXdcfpF".utf8)
    guard known.contains(kind) else { throw ProtocolViolation(message: "invalid frontend message type \(kind)") }
    do throws(FieldError) {
      let message = try contents(kind, &body)
      if body.readableBytes > 0 { throw FieldError.structure }
      return message
    } catch {
      let isExtended = "PBDEC".utf8.contains(kind)
      let letter = Character(Unicode.Scalar(kind))
      return error == .encoding
        ? .malformed(
          .init(code: .characterNotInRepertoire, message: "invalid byte sequence for encoding \"UTF8\"", isExtended: isExtended)
        )
        : .malformed(.init(code: .protocolViolation, message: "invalid message format (\(letter))", isExtended: isExtended))
    }
  }

  private static func contents(_ kind: UInt8, _ body: inout ByteBuffer) throws(FieldError) -> FrontendMessage {
    switch kind {
    case UInt8(ascii: "Q"): return .query(try body.readCString())
    case UInt8(ascii: "P"):
      return .parse(
        .init(statement: try body.readCString(), sql: try body.readCString(), parameterTypes: try body.readCounted(UInt32.self))
      )
    case UInt8(ascii: "B"): return .bind(try bind(&body))
    case UInt8(ascii: "D"): return .describe(try subject(&body))
    case UInt8(ascii: "C"): return .close(try subject(&body))
    case UInt8(ascii: "E"):
      let portal = try body.readCString()
      guard let rows = body.readInteger(as: Int32.self) else { throw .structure }
      return .execute(portal: portal, rowsMax: max(0, Int(rows)))
    case UInt8(ascii: "S"): return .sync
    case UInt8(ascii: "H"): return .flush
    case UInt8(ascii: "X"): return .terminate
    case UInt8(ascii: "d"), UInt8(ascii: "c"), UInt8(ascii: "f"):
      body.moveReaderIndex(to: body.writerIndex)
      return .copyData
    default:
      body.moveReaderIndex(to: body.writerIndex)
      return .malformed(.init(code: .featureNotSupported, message: "this message is not supported", isExtended: false))
    }
  }

  private static func subject(_ body: inout ByteBuffer) throws(FieldError) -> FrontendMessage.Subject {
    let kind = body.readInteger(as: UInt8.self)
    switch kind {
    case UInt8(ascii: "S"): return .statement(try body.readCString())
    case UInt8(ascii: "P"): return .portal(try body.readCString())
    default: throw .structure
    }
  }

  private static func bind(_ body: inout ByteBuffer) throws(FieldError) -> FrontendMessage.Bind {
    let portal = try body.readCString()
    let statement = try body.readCString()
    let parameterFormats = try body.readFormats()
    guard let count = body.readInteger(as: UInt16.self) else { throw .structure }
    var parameters: [[UInt8]?] = []
    for _ in 0..<count {
      guard let length = body.readInteger(as: Int32.self) else { throw .structure }
      if length == -1 {
        parameters.append(nil)
      } else {
        guard length >= 0, let value = body.readBytes(length: Int(length)) else { throw .structure }
        parameters.append(value)
      }
    }
    return .init(
      portal: portal, statement: statement, parameterFormats: parameterFormats, parameters: parameters,
      resultFormats: try body.readFormats())
  }
}

enum FieldError: Error { case structure, encoding }

extension ByteBuffer {
  /// A text that ends with a NUL.
  mutating func readCString() throws(FieldError) -> String {
    guard let end = readableBytesView.firstIndex(of: 0) else { throw .structure }
    let length = end - readerIndex
    guard let slice = readSlice(length: length) else { throw .structure }
    moveReaderIndex(forwardBy: 1)
    guard let text = String(validating: slice.readableBytesView, as: UTF8.self) else { throw .encoding }
    return text
  }

  /// A count of two bytes and as many integers.
  mutating func readCounted<I: FixedWidthInteger>(_: I.Type) throws(FieldError) -> [I] {
    guard let count = readInteger(as: UInt16.self), readableBytes >= Int(count) * MemoryLayout<I>.size else { throw .structure }
    var values: [I] = []
    for _ in 0..<count {
      guard let value = readInteger(as: I.self) else { throw .structure }
      values.append(value)
    }
    return values
  }

  mutating func readFormats() throws(FieldError) -> [ValueFormat] {
    var formats: [ValueFormat] = []
    for number in try readCounted(UInt16.self) {
      guard let format = ValueFormat(rawValue: number) else { throw .structure }
      formats.append(format)
    }
    return formats
  }
}
