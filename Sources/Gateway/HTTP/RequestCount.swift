import CoreMetrics
import Hummingbird
import NIOCore

/// Counts requests and how long they take, to the last byte of the answer.
///
/// A path that is no route is counted as `other`, so that nobody can make up series.
struct RequestCount<Context: RequestContext>: RouterMiddleware {
  private let metrics: MetricsRegistry
  private let seconds: [String: CoreMetrics.Timer]
  private static var other: String { "other" }

  init(metrics: MetricsRegistry) {
    self.metrics = metrics
    seconds = Dictionary(
      uniqueKeysWithValues: Set(GatewayRoute.allCases.map(\.path) + [Self.other]).map {
        ($0, CoreMetrics.Timer(label: "quire_http_request_seconds", dimensions: [("route", $0)], factory: metrics))
      })
  }

  func handle(
    _ request: Request, context: Context, next: (Request, Context) async throws -> Response
  ) async throws -> Response {
    let started = NIODeadline.now()
    let route = GatewayRoute.path(of: request.uri.path) ?? Self.other
    var response: Response
    do {
      response = try await next(request, context)
    } catch {
      finished(route, (error as? any HTTPResponseError)?.status ?? .internalServerError, started)
      throw error
    }
    let (status, body) = (response.status, response.body)
    response.body = ResponseBody(contentLength: body.contentLength) { writer in
      // Also when the client leaves in the middle.
      defer { finished(route, status, started) }
      try await body.write(writer)
    }
    return response
  }

  private func finished(_ route: String, _ status: HTTPResponse.Status, _ started: NIODeadline) {
    Counter(
      label: "quire_http_requests_total", dimensions: [("route", route), ("status", "\(status.code)")], factory: metrics
    ).increment()
    seconds[route]?.recordNanoseconds((NIODeadline.now() - started).nanoseconds)
  }
}
