internal import NIOCore

extension KafkaClient {
  /// Runs `operation` until it succeeds, fails for good, or the time for operations is over; then its last error is thrown.
  func retrying<R: Sendable>(_ operation: () async throws -> R) async throws -> R {
    try await retry(within: timeouts.operation, operation)
  }
}

/// Runs `operation` in the caller's isolation until it succeeds, fails for good, or `limit` has passed; then its last error is thrown.
func retry<R: Sendable>(
  within limit: TimeAmount, isolation: isolated (any Actor)? = #isolation, _ operation: () async throws -> R
) async throws -> R {
  let clock = ContinuousClock()
  let deadline = clock.now + .nanoseconds(limit.nanoseconds)
  while true {
    do { return try await operation() } catch let error as KafkaClientError {
      guard error.isRetriable, clock.now < deadline else { throw error }
    }
    try await Task.sleep(for: KafkaClient.retryPause)
  }
}
