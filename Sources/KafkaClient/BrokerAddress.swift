/// Where a broker listens: a host name or IP address, and a TCP port.
public struct BrokerAddress: Hashable, Sendable {
  public var host: String
  public var port: Int

  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Kafka's own port, taken where an address names none.
  public static let portDefault = 9092

  /// Reads `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`.
  ///
  /// - Throws: `.invalidAddress`, saying what is wrong with it.
  public init(parsing text: String) throws(KafkaClientError) {
    func invalid(_ why: String) -> KafkaClientError {
      KafkaClientError(.invalidAddress, "'\(text)' is not an address: \(why) (expected HOST:PORT)")
    }
    var host = text[...]
    var port: Substring?
    if text.hasPrefix("[") {
      guard let close = text.firstIndex(of: "]") else { throw invalid("the bracket is not closed") }
      host = text[text.index(after: text.startIndex)..<close]
      let rest = text[text.index(after: close)...]
      if !rest.isEmpty {
        guard rest.hasPrefix(":") else { throw invalid("':' is missing after the bracket") }
        port = rest.dropFirst()
      }
    } else if let colon = text.lastIndex(of: ":") {
      host = text[..<colon]
      port = text[text.index(after: colon)...]
      if host.contains(":") { throw invalid("an IPv6 address goes in brackets") }
    }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else { throw invalid("the host is missing") }
    var number = Self.portDefault
    if let port {
      guard let value = Int(port), (1...65535).contains(value), port.first != "+" else {
        throw invalid("the port is not a number from 1 to 65535")
      }
      number = value
    }
    self.init(host: String(host), port: number)
  }

  /// Reads a list of addresses with commas between them.
  public static func list(parsing text: String) throws(KafkaClientError) -> [BrokerAddress] {
    var addresses: [BrokerAddress] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: true) {
      addresses.append(try BrokerAddress(parsing: part.filter { !$0.isWhitespace }))
    }
    if addresses.isEmpty { throw KafkaClientError(.invalidAddress, "no address was given (expected HOST:PORT)") }
    return addresses
  }
}

extension BrokerAddress: CustomStringConvertible {
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
