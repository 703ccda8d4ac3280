/// An address to listen on or to tell others: `HOST:PORT`, `[IPV6]:PORT`.
public struct HostPort: Hashable, Sendable {
  /// Name or address, IPv6 without its brackets.
  public var host: String
  public var port: Int

  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads `HOST:PORT`; Kafka's `PLAINTEXT://HOST:PORT` is accepted too, and `PLAINTEXT://:PORT` means every interface.
  ///
  /// - Returns: nil if it is not of that form.
  public init?(_ text: String) {
    var rest = Substring(text)
    var isURL = false
    if let slashes = rest.utf8.firstIndex(of: 0x2F) {
      guard rest[..<slashes].uppercased() == "PLAINTEXT:", rest[slashes...].hasPrefix("//") else { return nil }
      rest = rest[slashes...].dropFirst(2)
      isURL = true
    }
    guard let colon = rest.lastIndex(of: ":") else { return nil }
    let digits = rest[rest.index(after: colon)...]
    guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let port = Int(digits), port <= 65_535 else { return nil }
    var host = rest[..<colon]
    if host.hasPrefix("[") {
      guard host.hasSuffix("]") else { return nil }
      host = host.dropFirst().dropLast()
      guard host.contains(":") else { return nil }
    } else if host.contains(":") {
      return nil
    }
    if host.isEmpty && isURL { host = "0.0.0.0" }
    guard !host.isEmpty, !host.contains(where: { $0 == " " || $0 == "/" || $0 == "," || $0 == "[" }) else { return nil }
    self.host = String(host)
    self.port = port
  }

  static func complaint(about text: String, allowsPortZero: Bool) -> String? {
    guard let address = HostPort(text) else { return "it must be HOST:PORT" }
    return address.port == 0 && !allowsPortZero ? "the port must not be 0" : nil
  }

  /// Only this machine can reach it.
  public var isLoopback: Bool { host == "localhost" || host == "::1" || (host.hasPrefix("127.") && isIPv4) }
  /// Every interface: an address to listen on, but none to give to anybody.
  public var isWildcard: Bool { host == "0.0.0.0" || host == "::" }
  private var isIPv4: Bool { host.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2E } }
}

extension HostPort: CustomStringConvertible {
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
