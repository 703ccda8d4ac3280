/// What a client says, in the words of the protocol's version 3.
enum FrontendMessage: Hashable, Sendable {
  case query(String)
  case parse(Parse)
  case bind(Bind)
  case describe(Subject)
  case execute(portal: String, rowsMax: Int)
  case close(Subject)
  case sync
  case flush
  case terminate
  /// Part of a COPY into the server, which is not done here; ignored, as the protocol asks.
  case copyData
  /// Well framed, but not to be understood; an error for the client, after which the connection goes on.
  case malformed(Malformed)

  struct Parse: Hashable, Sendable {
    var statement: String
    var sql: String
    /// Declared types of parameters; 0 where it is not said.
    var parameterTypes: [UInt32]
  }

  struct Bind: Hashable, Sendable {
    var portal: String
    var statement: String
    /// None: all text. One: for all. Else one for each.
    var parameterFormats: [ValueFormat]
    var parameters: [[UInt8]?]
    var resultFormats: [ValueFormat]
  }

  enum Subject: Hashable, Sendable {
    case statement(String)
    case portal(String)
  }

  struct Malformed: Hashable, Sendable {
    var code: SQLState
    var message: String
    /// It belongs to the extended protocol: what follows is skipped up to a Sync.
    var isExtended: Bool
  }
}

/// How one value travels.
enum ValueFormat: UInt16, Hashable, Sendable {
  case text = 0
  case binary = 1
}

/// What the first packet of a connection asks for.
enum StartupRequest: Hashable, Sendable {
  /// Encryption, of either kind; answered `N`, and the next packet is looked at.
  case encryption
  case cancel(processID: UInt32, secret: UInt32)
  case session(minorVersion: UInt16, parameters: [String: String])
}

/// The peer does not speak the protocol; the connection ends with this sentence.
struct ProtocolViolation: Error, Hashable {
  var code: SQLState = .protocolViolation
  var message: String
}
