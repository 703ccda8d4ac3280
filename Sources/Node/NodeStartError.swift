/// Why a node does not start, in one line for the person who started it.
public struct NodeStartError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Kind: Sendable {
    /// A flag, an environment variable or a line of the file is wrong.
    case configuration
    /// The machine or the data directory does not allow it.
    case environment
  }

  public var kind: Kind
  public var description: String

  init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }
}
