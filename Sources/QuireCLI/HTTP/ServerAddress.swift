/// The HTTP door of a node, as `--server` names it: `http://HOST:PORT`.
struct ServerAddress: Equatable, Sendable {
  var host: String
  var port: Int
  /// Path in front of `/v1/…`, for a node behind a proxy; empty or beginning with `/`, without one at the end.
  var path: String

  struct Failure: Error, Equatable { var reason: String }

  init(parsing text: String) throws(Failure) {
    func invalid(_ why: String) -> Failure { Failure(reason: "'\(text)' is not a server: \(why) (expected http://HOST:PORT)") }
    var rest = text[...]
    if text.hasPrefix("https://") { throw invalid("https is not supported") }
    if text.hasPrefix("http://") {
      rest = text.dropFirst("http://".count)
    } else if text.contains("://") {
      throw invalid("unknown scheme")
    }
    let slash = rest.firstIndex(of: "/") ?? rest.endIndex
    var path = rest[slash...]
    while path.last == "/" { path.removeLast() }
    self.path = String(path)
    var host = rest[..<slash]
    var port: Substring?
    if host.hasPrefix("[") {
      guard let close = host.firstIndex(of: "]") else { throw invalid("the bracket is not closed") }
      let behind = host[host.index(after: close)...]
      if !behind.isEmpty {
        guard behind.hasPrefix(":") else { throw invalid("':' is missing after the bracket") }
        port = behind.dropFirst()
      }
      host = host[host.index(after: host.startIndex)..<close]
    } else if let colon = host.firstIndex(of: ":") {
      port = host[host.index(after: colon)...]
      host = host[..<colon]
    }
    guard !host.isEmpty, !host.contains(where: \.isWhitespace) else { throw invalid("the host is missing") }
    self.host = String(host)
    self.port = 80
    if let port {
      guard let number = Int(port), (1...65535).contains(number), port.first != "+" else {
        throw invalid("the port is not a number from 1 to 65535")
      }
      self.port = number
    }
  }

  /// For the Host header.
  var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }
}
