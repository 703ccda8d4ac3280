internal import KafkaProtocol

/// The versions of each API that this client speaks: those the protocol room knows, up to where topics are still named by name.
enum ClientVersions {
  /// From these versions on a topic is only an id.
  private static func capped(_ key: APIKey) -> Int16 {
    switch key {
    case .produce: 12
    case .fetch: 12
    case .deleteTopics: 5
    case .offsetCommit, .offsetFetch: 9
    default: .max
    }
  }

  static func range(_ key: APIKey) -> ClosedRange<Int16> {
    let range = ServedVersions.accepted(key)
    return range.lowerBound...max(range.lowerBound, min(range.upperBound, capped(key)))
  }
}
