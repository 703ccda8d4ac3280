/// Why an export is not complete. What was written under its final name before is still there; nothing half-written has that name.
public enum ExportError: Error, Sendable {
  case unknownTopic(String)
  /// Records could not be read.
  case history(String)
  /// Stopped through its `ScanControl`.
  case cancelled
  /// Whoever reads the output has closed it (EPIPE): to be ended quietly.
  case outputClosed
  /// The output could not be written; `path` and what the system said.
  case output(path: String, message: String)
}

extension ExportError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unknownTopic(let topic): "there is no topic '\(topic)'"
    case .history(let message): message
    case .cancelled: "cancelled"
    case .outputClosed: "the output was closed"
    case .output(let path, let message): "\(path): \(message)"
    }
  }
}
