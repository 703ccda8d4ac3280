import Hummingbird
import Model
import SQLite

/// Every route of the HTTP door. The OpenAPI document has the same ones, and the metrics count by their paths.
enum GatewayRoute: CaseIterable {
  case health, ready, metrics, query, follow, queries, cancelQuery, export, mirror, beginMirror, appendMirror, cluster, promote,
    forgetStandby,
    openAPI

  var method: HTTPRequest.Method {
    switch self {
    case .query, .export, .beginMirror, .appendMirror, .promote, .forgetStandby: .post
    case .cancelQuery: .delete
    case .health, .ready, .metrics, .follow, .queries, .mirror, .cluster, .openAPI: .get
    }
  }

  /// As OpenAPI writes it, with parameters in braces.
  var path: String {
    switch self {
    case .health: "/health"
    case .ready: "/ready"
    case .metrics: "/metrics"
    case .query, .follow: "/v1/query"
    case .queries: "/v1/queries"
    case .cancelQuery: "/v1/queries/{id}"
    case .export: "/v1/export"
    case .mirror: "/v1/mirror/{topic}"
    case .beginMirror: "/v1/mirror/{topic}/{partition}/begin"
    case .appendMirror: "/v1/mirror/{topic}/{partition}"
    case .cluster: "/v1/cluster"
    case .promote: "/v1/cluster/promote"
    case .forgetStandby: "/v1/cluster/forget-standby"
    case .openAPI: "/v1/openapi.json"
    }
  }

  /// As the router has it.
  var routerPath: String {
    path.split(separator: "/").map { $0.hasPrefix("{") ? ":\($0.dropFirst().dropLast())" : String($0) }.joined(separator: "/")
  }

  /// The path of the route that a request's path is of; nil for none.
  static func path(of requested: String) -> String? {
    let parts = requested.split(separator: "/", omittingEmptySubsequences: false)
    return allCases.first { route in
      let wanted = route.path.split(separator: "/", omittingEmptySubsequences: false)
      return wanted.count == parts.count && zip(wanted, parts).allSatisfy { $0 == $1 || $0.hasPrefix("{") }
    }?.path
  }
}

/// What `/v1/openapi.json` says.
enum OpenAPIDocument {
  static let text: String = {
    let bytes = EmbeddedFiles.bytes(of: "api/openapi.json").map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    return bytes.replacing("\"version\": \"VERSION\"", with: "\"version\": \"\(programVersion)\"")
  }()
}
