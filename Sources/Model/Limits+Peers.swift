extension Limits {
  // Between nodes
  /// Bytes that a follower may say before it is admitted: a request, of about 300 bytes at most, for each of `peerStreamsMax` partitions.
  public static let peerEarlyBytesMax = 32 << 20
  /// Bytes of a frame before the peer has proved who it is; the longest one has two names and a nonce.
  public static let peerGreetingBytesMax = 4 << 10
  /// Bytes of a frame afterwards: the settings of one topic, or what `peerPieceBytes` bounds and its header.
  public static let peerFrameBytesMax = 1 << 20
  /// Bytes of a page set, a file or hashes that travel in one frame: the turn of one partition before the next has its own.
  public static let peerPieceBytes = 64 << 10
  /// Bytes of pages and files that a follower lets its leader send before it has worked on them, over all its partitions.
  public static let peerWindowBytes = 16 << 20
  /// Bytes of page sets that are read for one follower and wait for their turn; one large set comes on top of it.
  public static let peerReadAheadBytesMax = 16 << 20
  /// Bytes of page sets whose end is still to come, over all partitions of one connection: one full state, and turns of many others.
  public static let peerArrivingBytesMax = pageSetBytesMax + (64 << 20)
  /// Page hashes of one database: every page of the largest segment file, at 512 bytes each.
  public static let peerPageHashesMax = segmentFileBytesMax / 512
  /// Page hashes that arrive at once over one connection; a follower sends those of one database after the other.
  public static let peerArrivingHashesMax = 2 * peerPageHashesMax
  /// Bytes of a file that are asked for at once.
  public static let peerFilePieceBytes = 4 << 20
  /// Such pieces that a follower asks for before the first of them has come, of one partition.
  public static let peerFilesUnderWayMax = 2
  /// Partitions that one follower follows over one connection; each costs its leader about 1 KiB.
  public static let peerStreamsMax = 100_000
  /// Topics of a cluster that is told to a standby, and bytes of their names and settings.
  public static let peerTopicsMax = 100_000
  public static let peerTopicBytesMax = 64 << 20
  /// Connections of followers.
  public static let peerConnectionsMax = 64
  /// Connections that have not proved yet who they are, 4 KiB each; a further one closes the oldest of them.
  public static let peerGreetingsMax = 64
}
