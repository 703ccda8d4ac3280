internal import Query

/// Why an export is not complete. What was written under its final name before is still there; nothing half-written has that name.
public enum ExportError: Error, Sendable {
  case unknownTopic(String)
  /// Records could not be read.
  case history(String)
  /// The SQL condition was refused, or hit a limit; in words.
  case condition(String)
  /// Stopped through its `ScanControl`.
  case cancelled
  /// Whoever reads the output has closed it (EPIPE): to be ended quietly.
  case outputClosed
  /// The output could not be written; `path` and what the system said.
  case output(path: String, message: String)
  /// A record cannot be written in this format; in words.
  case record(String)
  /// Records that come over a connection are not what they are to be.
  case malformedStream(String)
  /// What was asked for cannot be; in words.
  case refused(String)

  init(_ error: HistoryError) {
    switch error.reason {
    case .cancelled: self = .cancelled
    case .damaged, .unavailable, .tooSlow, .tooLarge: self = .history(error.message)
    }
  }
}

extension ExportError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unknownTopic(let topic): "there is no topic '\(topic)'"
    case .history(let message), .record(let message), .malformedStream(let message), .refused(let message): message
    case .condition(let message): "the condition: \(message)"
    case .cancelled: "cancelled"
    case .outputClosed: "the output was closed"
    case .output(let path, let message): "\(path): \(message)"
    }
  }
}
