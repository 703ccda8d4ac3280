import Hummingbird
import Model
import NIOCore

/// Keeps web pages away from a node on somebody's loopback interface.
///
/// A page of a foreign site can make a browser send requests to 127.0.0.1, and by rebinding its own name to that address even read the
/// answers. So the Host header has to be one of this node's names, an Origin header has to be this node's, and bodies have to be
/// `application/json`, which a page cannot send elsewhere without asking first (and nobody answers such a question here).
struct RequestGuard<Context: RequestContext>: RouterMiddleware {
  /// Names of this node, lower case, IPv6 in brackets.
  let names: Set<String>
  /// The listener takes every interface: clients then use addresses that are not known here. An address cannot be rebound; a name can.
  let acceptsAddresses: Bool

  init(listen: HostPort, advertisedHosts: [String]) {
    names = Set(
      (["localhost", "127.0.0.1", "::1", listen.host] + advertisedHosts).map { host in
        (host.contains(":") ? "[\(host)]" : host).lowercased()
      })
    acceptsAddresses = listen.isWildcard
  }

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    // What a probe may know has no secret in it, and probes come with whatever Host their scheduler made up.
    if request.uri.path != "/health" && request.uri.path != "/ready" {
      guard let authority = request.head.authority, isOurs(authority) else {
        return JSONReply.error(.forbidden, "the Host header does not name this node")
      }
      if let origin = request.headers[.origin], origin.lowercased() != "http://\(authority.lowercased())" {
        return JSONReply.error(.forbidden, "requests from other origins are refused")
      }
    }
    let isBatches = Self.isBatches(request.headers[.contentType]) && MirrorRoutes.takes(request.uri.path)
    if request.method == .post && !isBatches && !Self.isJSON(request.headers[.contentType]) {
      return JSONReply.error(.unsupportedMediaType, "the body has to be application/json")
    }
    return try await next(request, context)
  }

  func isOurs(_ authority: String) -> Bool {
    let host = Self.host(of: authority.lowercased())
    return names.contains(host) || (acceptsAddresses && Self.isAddress(host))
  }

  /// The host of `host:port`, IPv6 still in its brackets.
  static func host(of authority: String) -> String {
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") { return String(authority[...end]) }
    guard let colon = authority.firstIndex(of: ":") else { return authority }
    return String(authority[..<colon])
  }

  static func isAddress(_ host: String) -> Bool {
    let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    return (try? SocketAddress(ipAddress: bare, port: 0)) != nil
  }

  static func isJSON(_ contentType: String?) -> Bool { mediaType(contentType) == "application/json" }

  /// Nor can a page send this type without asking.
  static func isBatches(_ contentType: String?) -> Bool { mediaType(contentType) == MirrorRoutes.mediaType }

  private static func mediaType(_ contentType: String?) -> String? {
    guard let contentType else { return nil }
    let type = contentType.split(separator: ";", maxSplits: 1).first.map(String.init) ?? ""
    return ConfigurationKey.normalized(type).lowercased()
  }
}
