import NIOCore

/// What the server says, written to the end of a buffer.
extension ByteBuffer {
  /// One message: its letter, its length, and what `body` writes.
  mutating func writeMessage(_ kind: Character, _ body: (inout ByteBuffer) -> Void) {
    writeInteger(kind.asciiValue ?? 0)
    let start = writerIndex
    writeInteger(UInt32(0))
    body(&self)
    setInteger(UInt32(truncatingIfNeeded: writerIndex - start), at: start)
  }

  mutating func writeCString(_ text: String) {
    // A text with a NUL inside would end early and shift what follows.
    writeString(text.utf8.contains(0) ? text.filter { $0 != "\0" } : text)
    writeInteger(UInt8(0))
  }

  mutating func writeAuthenticationOk() { writeMessage("R") { $0.writeInteger(UInt32(0)) } }

  mutating func writeParameterStatus(_ name: String, _ value: String) {
    writeMessage("S") { body in
      body.writeCString(name)
      body.writeCString(value)
    }
  }

  mutating func writeBackendKey(processID: UInt32, secret: UInt32) {
    writeMessage("K") { $0.writeMultipleIntegers(processID, secret) }
  }

  mutating func writeReadyForQuery(_ status: TransactionStatus) {
    writeMessage("Z") { $0.writeInteger(status.rawValue) }
  }

  mutating func writeCommandComplete(_ tag: String) { writeMessage("C") { $0.writeCString(tag) } }
  mutating func writeEmptyQueryResponse() { writeMessage("I") { _ in } }
  mutating func writeParseComplete() { writeMessage("1") { _ in } }
  mutating func writeBindComplete() { writeMessage("2") { _ in } }
  mutating func writeCloseComplete() { writeMessage("3") { _ in } }
  mutating func writeNoData() { writeMessage("n") { _ in } }
  mutating func writePortalSuspended() { writeMessage("s") { _ in } }

  mutating func writeParameterDescription(_ types: [PostgresType]) {
    writeMessage("t") { body in
      body.writeInteger(UInt16(types.count))
      for type in types { body.writeInteger(type.oid) }
    }
  }

  mutating func writeRowDescription(_ columns: [ResultColumn], formats: [ValueFormat]) {
    writeMessage("T") { body in
      body.writeInteger(UInt16(columns.count))
      for (index, column) in columns.enumerated() {
        body.writeCString(column.name)
        body.writeInteger(UInt32(0))
        body.writeInteger(UInt16(0))
        body.writeInteger(column.type.oid)
        body.writeInteger(column.type.size)
        body.writeInteger(Int32(-1))
        body.writeInteger(formats.format(at: index).rawValue)
      }
    }
  }

  mutating func writeCopyOutResponse(columns: Int) {
    writeMessage("H") { body in
      body.writeInteger(UInt8(0))
      body.writeInteger(UInt16(columns))
      for _ in 0..<columns { body.writeInteger(UInt16(0)) }
    }
  }
  mutating func writeCopyDone() { writeMessage("c") { _ in } }

  mutating func writeNegotiateProtocolVersion(unknownOptions: [String]) {
    writeMessage("v") { body in
      body.writeInteger(UInt32(3 << 16))
      body.writeInteger(UInt32(unknownOptions.count))
      for option in unknownOptions { body.writeCString(option) }
    }
  }

  mutating func writeError(_ error: PostgresError, severity: String = "ERROR") { writeReport("E", error, severity) }
  mutating func writeNotice(_ notice: PostgresError) { writeReport("N", notice, "WARNING") }

  private mutating func writeReport(_ kind: Character, _ report: PostgresError, _ severity: String) {
    writeMessage(kind) { body in
      func field(_ letter: Character, _ text: String) {
        body.writeInteger(letter.asciiValue ?? 0)
        body.writeCString(text)
      }
      field("S", severity)
      field("V", severity)
      field("C", report.code.text)
      field("M", report.message)
      if let detail = report.detail { field("D", detail) }
      if let hint = report.hint { field("H", hint) }
      if let position = report.position { field("P", String(position)) }
      body.writeInteger(UInt8(0))
    }
  }
}

/// Whether a transaction block is open, as ReadyForQuery says it.
enum TransactionStatus: UInt8, Sendable {
  case idle = 0x49  // I
  case inBlock = 0x54  // T
  case failed = 0x45  // E
}

extension [ValueFormat] {
  /// None: all text. One: for all. Else one for each.
  func format(at index: Int) -> ValueFormat {
    isEmpty ? .text : count == 1 ? self[0] : index < count ? self[index] : .text
  }
}
