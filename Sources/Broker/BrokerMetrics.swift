internal import CoreMetrics
internal import KafkaProtocol
internal import NIOCore

/// The Kafka door's metrics; every handle is made once.
struct BrokerMetrics: Sendable {
  let bytesIn = Counter(label: "quire_kafka_received_bytes_total")
  let bytesOut = Counter(label: "quire_kafka_sent_bytes_total")
  let refusedRequests = Counter(label: "quire_kafka_refused_requests_total")
  private let requests: [Counter?]
  private let seconds: [CoreMetrics.Timer?]

  init() {
    let highest = APIKey.allCases.map(\.rawValue).max() ?? 0
    var requests = [Counter?](repeating: nil, count: Int(highest) + 1)
    var seconds = [CoreMetrics.Timer?](repeating: nil, count: Int(highest) + 1)
    for key in APIKey.allCases {
      let dimensions = [("api", "\(key)")]
      requests[Int(key.rawValue)] = Counter(label: "quire_kafka_requests_total", dimensions: dimensions)
      seconds[Int(key.rawValue)] = CoreMetrics.Timer(label: "quire_kafka_request_seconds", dimensions: dimensions)
    }
    self.requests = requests
    self.seconds = seconds
  }

  func requestFinished(_ call: Call) {
    let key = Int(call.header.apiKey)
    guard requests.indices.contains(key) else { return }
    requests[key]?.increment()
    seconds[key]?.recordNanoseconds((NIODeadline.now() - call.started).nanoseconds)
  }
}
