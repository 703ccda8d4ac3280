public import Model

/// What went wrong between this client and a broker: one line for people, a code for programs.
public struct KafkaClientError: Error, Sendable {
  /// The kind of failure; more may come, so a `switch` needs a default.
  public struct Code: Hashable, Sendable {
    private let name: String
    private init(_ name: String) { self.name = name }

    /// The text is no `HOST:PORT`.
    public static let invalidAddress = Code("invalidAddress")
    /// No connection could be made.
    public static let unreachable = Code("unreachable")
    /// The connection ended while an answer was awaited; whether the broker acted on the request is unknown.
    public static let disconnected = Code("disconnected")
    /// No answer in time; whether the broker acted on the request is unknown.
    public static let timedOut = Code("timedOut")
    /// The broker offers no version of the API that this client speaks.
    public static let unsupportedVersion = Code("unsupportedVersion")
    /// The broker's bytes make no sense.
    public static let malformedResponse = Code("malformedResponse")
    /// The broker answered with an error code: `kafkaCode`.
    public static let refused = Code("refused")
    /// What was asked for cannot be sent.
    public static let invalidArgument = Code("invalidArgument")
  }

  public var code: Code
  /// One line, without a full stop.
  public var message: String
  /// The broker's error code if the broker answered with one.
  public var kafkaCode: ErrorCode?
  /// Whether trying again makes no sense, whatever the code says of errors of its kind.
  var isFinal = false

  public init(_ code: Code, _ message: String, kafkaCode: ErrorCode? = nil) {
    self.code = code
    self.message = message
    self.kafkaCode = kafkaCode
  }

  /// A broker's refusal of `what`, with the broker's own words if it gave any.
  static func refused(_ what: String, _ kafkaCode: ErrorCode, _ said: String? = nil) -> KafkaClientError {
    let reason = said.map { $0.isEmpty ? kafkaCode.description : "\($0) (\(kafkaCode))" } ?? kafkaCode.description
    return KafkaClientError(.refused, "\(what): \(reason)", kafkaCode: kafkaCode)
  }

  /// Whether the same request may succeed after a look at fresh metadata.
  var isRetriable: Bool {
    if isFinal { return false }
    return switch code {
    case .disconnected, .timedOut, .unreachable: true
    case .refused: kafkaCode?.isRetriable ?? false
    default: false
    }
  }
}

extension KafkaClientError: CustomStringConvertible {
  public var description: String { message }
}

extension ErrorCode {
  /// Errors that pass by themselves or after a refresh of the metadata, as Kafka classifies them.
  var isRetriable: Bool {
    switch self {
    case .unknownTopicOrPartition, .leaderNotAvailable, .notLeaderOrFollower, .requestTimedOut, .replicaNotAvailable,
      .networkException, .coordinatorLoadInProgress, .coordinatorNotAvailable, .notCoordinator, .notEnoughReplicas,
      .notEnoughReplicasAfterAppend, .fencedLeaderEpoch, .unknownLeaderEpoch, .offsetNotAvailable, .kafkaStorageError,
      .preferredLeaderNotAvailable, .corruptMessage, .unknownTopicID, .unstableOffsetCommit, .throttlingQuotaExceeded:
      true
    default: false
    }
  }
}
