internal import Model
internal import NIOCore

/// Number of one followed partition on one connection, chosen by the follower; a number is not used again.
struct StreamID: RawRepresentable, Hashable, Sendable {
  var rawValue: UInt32
}

/// The first message of a connection, from the follower.
struct PeerHello: Hashable, Sendable {
  enum Intent: UInt8, Sendable {
    case follow = 0
    /// To tell the leader that it leads no longer.
    case fence = 1
    /// To learn who the other one is, and its epoch.
    case ask = 2
  }

  /// Of the protocol behind the greeting.
  var versions: ClosedRange<UInt16>
  var intent: Intent
  var hasSecret: Bool
  var identity: PeerIdentity
  var nonce: [UInt8]
  /// What later versions say here; not looked at.
  var extensions: [UInt8] = []
}

struct PeerChallenge: Hashable, Sendable {
  var version: UInt16
  var hasSecret: Bool
  var identity: PeerIdentity
  var nonce: [UInt8]
  var extensions: [UInt8] = []
}

struct FollowRequest: Hashable, Sendable {
  var stream: StreamID
  var partition: TopicPartition
  var topicID: TopicID
  var standing: FollowerStanding?
}

/// What a follower has made durable.
struct Acknowledgement: Hashable, Sendable {
  var position: CommitPosition
  /// All sealed files are there too.
  var isComplete: Bool
}

/// Some of the page hashes of one database.
struct HashPiece: Hashable, Sendable {
  var stream: StreamID
  var segmentBase: Int64
  var totalCount: Int
  /// Index of the first one here.
  var start: Int
  var hashes: [UInt64]
}

struct FileRequest: Hashable, Sendable {
  var stream: StreamID
  var base: Int64
  var generation: Int64
  var offset: Int64
  var maxBytes: UInt32
}

/// Some bytes of a sealed file.
struct FilePiece: Hashable, Sendable {
  var stream: StreamID
  var base: Int64
  var generation: Int64
  var offset: Int64
  var totalBytes: Int64
  /// Nothing else comes of what was asked for.
  var isLast: Bool
  var bytes: ByteBuffer
}

/// What two nodes say to each other.
enum PeerMessage: Hashable, Sendable {
  // The greeting, in this order
  case hello(PeerHello)
  case challenge(PeerChallenge)
  /// Of the follower; empty where there is no secret.
  case proof([UInt8])
  /// The leader's proof; from here on both know whom they speak to.
  case welcome([UInt8])

  // Both
  case goodbye(PeerRefusal)
  /// There is nothing else to say, and the sender lives.
  case ping

  // Follower to leader
  case follow(FollowRequest)
  case unfollow(StreamID)
  case durable(StreamID, Acknowledgement)
  case pageHashes(HashPiece)
  case wantFile(FileRequest)
  /// That many bytes more of pages and files may be sent.
  case credit(UInt32)

  // Leader to follower
  /// The next bytes of a stream of page sets.
  case pages(StreamID, ByteBuffer)
  case highWatermark(StreamID, Offset)
  case wantPageHashes(StreamID, segmentBase: Int64)
  case file(FilePiece)
  case noFile(StreamID, base: Int64, generation: Int64)
  /// Nothing else comes of that stream.
  case refused(StreamID, PeerRefusal)
  case lag(StreamID, ReplicaLag)
  case clusterBegins(isSnapshot: Bool)
  case topic(ShippedTopic)
  case topicRemoved(TopicID)
  case clusterEnds(ClusterHead)
}

// Integers are big-endian. A frame:
//
//     0  4  bytes that follow the checksum
//     4  4  CRC32C of them
//     8  1  kind
//     9     fields
//
// text: 2 bytes length, UTF-8 · long text and bytes: 4 bytes length · settings: 4 bytes count, text and long text each, keys ascending
// identity: node 4, cluster id text, leader epoch 4, address text · position: leader epoch 4, segment base 8, commit sequence 8
// refusal: code 1, text · stream: 4 · offset: 8
//
//     1 hello        "QPSH", lowest version 2, highest 2, intent 1, has a secret 1, identity, nonce 32, long bytes
//     2 challenge    version 2, has a secret 1, identity, nonce 32, long bytes
//     3 proof        0 or 32 bytes, to the end
//     4 welcome      0 or 32 bytes, to the end
//     5 goodbye      refusal
//     6 ping
//    16 follow       stream, topic text, partition 4, topic id 16, has a standing 1: position, sum 8, pages 4
//    17 unfollow     stream
//    18 durable      stream, position, all sealed files are there 1
//    19 pageHashes   stream, segment base 8, hashes in all 4, index of the first 4, hashes 8 each to the end
//    20 wantFile     stream, base 8, generation 8, offset 8, bytes at most 4
//    21 credit       bytes 4
//    32 pages        stream, bytes to the end
//    33 highWatermark  stream, offset
//    34 wantPageHashes stream, segment base 8
//    35 file         stream, base 8, generation 8, offset 8, bytes in all 8, is the last 1, bytes to the end
//    36 noFile       stream, base 8, generation 8
//    37 refused      stream, refusal
//    38 lag          stream, commits 8, bytes 8, milliseconds 8
//    39 clusterBegins  is a snapshot 1
//    40 topic        name text, topic id 16, partitions 4, settings
//    41 topicRemoved topic id 16
//    42 clusterEnds  identity, version 8, settings

extension PeerMessage {
  enum Kind: UInt8 {
    case hello = 1
    case challenge, proof, welcome, goodbye, ping
    case follow = 16
    case unfollow, durable, pageHashes, wantFile, credit
    case pages = 32
    case highWatermark, wantPageHashes, file, noFile, refused, lag, clusterBegins, topic, topicRemoved, clusterEnds
  }

  static let magic: UInt32 = 0x5150_5348
  static let nonceByteCount = 32
  /// What this program speaks.
  static let versions: ClosedRange<UInt16> = 1...1

  var kind: Kind {
    switch self {
    case .hello: .hello
    case .challenge: .challenge
    case .proof: .proof
    case .welcome: .welcome
    case .goodbye: .goodbye
    case .ping: .ping
    case .follow: .follow
    case .unfollow: .unfollow
    case .durable: .durable
    case .pageHashes: .pageHashes
    case .wantFile: .wantFile
    case .credit: .credit
    case .pages: .pages
    case .highWatermark: .highWatermark
    case .wantPageHashes: .wantPageHashes
    case .file: .file
    case .noFile: .noFile
    case .refused: .refused
    case .lag: .lag
    case .clusterBegins: .clusterBegins
    case .topic: .topic
    case .topicRemoved: .topicRemoved
    case .clusterEnds: .clusterEnds
    }
  }
}
