public import Model

/// What a node says of itself to another one.
public struct PeerIdentity: Hashable, Sendable {
  public var node: NodeID
  /// Empty for a standby that has no cluster yet: it takes its leader's.
  public var clusterID: String
  /// Of the pair: who was promoted last has the highest. Not that of any partition.
  public var leaderEpoch: LeaderEpoch
  /// Where its own peer port is reached, `HOST:PORT`; empty where it has none.
  public var address: String

  public init(node: NodeID, clusterID: String, leaderEpoch: LeaderEpoch, address: String = "") {
    self.node = node
    self.clusterID = clusterID
    self.leaderEpoch = leaderEpoch
    self.address = address
  }
}

/// Why a peer does not go on: with a connection, or with one partition.
public struct PeerRefusal: Error, Hashable, Sendable {
  /// Open, so that a newer peer's reasons can be passed on.
  public struct Code: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Bytes that are no message, or a message that has no place here.
    public static let malformed = Code(rawValue: 1)
    /// No version of the protocol that both speak.
    public static let version = Code(rawValue: 2)
    /// The connection leaves the machine, or one side has a secret and the other has none.
    public static let secretNeeded = Code(rawValue: 3)
    public static let wrongSecret = Code(rawValue: 4)
    public static let otherCluster = Code(rawValue: 5)
    /// Both nodes have the same number.
    public static let sameNode = Code(rawValue: 6)
    /// The leader was told of a higher epoch than its own, and leads no longer.
    public static let fenced = Code(rawValue: 7)
    /// A fence whose epoch is not higher than the leader's.
    public static let staleEpoch = Code(rawValue: 8)
    /// A bound was exceeded.
    public static let tooMuch = Code(rawValue: 9)
    /// The same node has connected anew.
    public static let replaced = Code(rawValue: 10)
    public static let stopping = Code(rawValue: 11)
    /// Nothing was heard, or could be sent, for too long.
    public static let silent = Code(rawValue: 12)
    /// The connection failed, or was closed without a word.
    public static let disconnected = Code(rawValue: 13)

    // Of one partition
    /// No such topic, id or partition here.
    public static let unknownPartition = Code(rawValue: 32)
    /// This node does not lead it.
    public static let notLeader = Code(rawValue: 33)
    /// Its storage failed, or is fenced.
    public static let storage = Code(rawValue: 34)
  }

  public var code: Code
  /// One line for a person.
  public let words: String

  static let wordsBytesMax = 1024

  public init(_ code: Code, _ words: String) {
    self.code = code
    // What is too long ends where it has to; half a character becomes U+FFFD, which may be longer.
    let isShort = words.utf8.count <= Self.wordsBytesMax
    self.words = isShort ? words : String(decoding: words.utf8.prefix(Self.wordsBytesMax - 8), as: UTF8.self)
  }

  static func malformed(_ words: String) -> PeerRefusal { PeerRefusal(.malformed, words) }
}

extension PeerRefusal: CustomStringConvertible {
  public var description: String { words }
}
