public import Model

/// One topic as a standby is told of it.
public struct ShippedTopic: Hashable, Sendable {
  public var name: String
  public var id: TopicID
  /// Of its partitions, by their numbers.
  public var leaderEpochs: [LeaderEpoch]
  /// What was set for this topic itself: key to text.
  public var settings: [String: String]

  public init(name: String, id: TopicID, leaderEpochs: [LeaderEpoch], settings: [String: String]) {
    self.name = name
    self.id = id
    self.leaderEpochs = leaderEpochs
    self.settings = settings
  }

  fileprivate var byteCount: Int {
    settings.reduce(name.utf8.count + 4 * leaderEpochs.count) { $0 + $1.key.utf8.count + $1.value.utf8.count }
  }
}

/// What a standby is told of its leader's cluster: what it needs to have the same topics. A value.
public struct ShippedCluster: Hashable, Sendable {
  public var identity: PeerIdentity
  /// Counted up by whoever publishes it, over all its lives.
  public var version: Int64
  /// Where Kafka clients reach the leader.
  public var kafkaAddress: String
  /// When the standby was taken in; another number than before where the leader had none meanwhile.
  public var registration: Int64
  /// Settings that all topics share unless they have their own: key to text.
  public var settings: [String: String]
  public var topics: [TopicID: ShippedTopic]

  public init(
    identity: PeerIdentity, version: Int64, kafkaAddress: String = "", registration: Int64 = 0, settings: [String: String],
    topics: [TopicID: ShippedTopic]
  ) {
    self.identity = identity
    self.version = version
    self.kafkaAddress = kafkaAddress
    self.registration = registration
    self.settings = settings
    self.topics = topics
  }

  /// What leads from `earlier` to here, as it travels; from nothing if there is none.
  func messages(since earlier: ShippedCluster?) -> [PeerMessage] {
    var messages: [PeerMessage] = [.clusterBegins(isSnapshot: earlier == nil)]
    let known = earlier?.topics ?? [:]
    // What goes first, so that a name is free before another topic has it.
    for id in known.keys.filter({ topics[$0] == nil }).sorted(by: { $0.bytes.lexicographicallyPrecedes($1.bytes) }) {
      messages.append(.topicRemoved(id))
    }
    for topic in topics.values.filter({ known[$0.id] != $0 }).sorted(by: { $0.name < $1.name }) {
      messages.append(.topic(topic))
    }
    messages.append(
      .clusterEnds(
        ClusterHead(
          identity: identity, version: version, kafkaAddress: kafkaAddress, registration: registration, settings: settings)))
    return messages
  }
}

/// A cluster's own properties, which travel behind its topics.
struct ClusterHead: Hashable, Sendable {
  var identity: PeerIdentity
  var version: Int64
  var kafkaAddress: String
  var registration: Int64
  var settings: [String: String]
}

/// A cluster as it arrives, message by message; what is half there is not shown.
struct ArrivingCluster {
  private var topics: [TopicID: ShippedTopic] = [:]
  /// Of their names and settings.
  private var byteCount = 0
  private var isArriving = false
  private var hasSnapshot = false

  mutating func begin(isSnapshot: Bool) throws(PeerRefusal) {
    guard !isArriving, isSnapshot || hasSnapshot else { throw .malformed("a cluster that begins twice, or in the middle") }
    isArriving = true
    hasSnapshot = true
    if isSnapshot {
      topics = [:]
      byteCount = 0
    }
  }

  mutating func set(_ topic: ShippedTopic) throws(PeerRefusal) {
    guard isArriving else { throw .malformed("a topic of no cluster") }
    byteCount += topic.byteCount - (topics[topic.id]?.byteCount ?? 0)
    topics[topic.id] = topic
    guard topics.count <= Limits.peerTopicsMax, byteCount <= Limits.peerTopicBytesMax else {
      throw PeerRefusal(.tooMuch, "more topics, or settings of them, than are taken")
    }
  }

  mutating func remove(_ id: TopicID) throws(PeerRefusal) {
    guard isArriving else { throw .malformed("a topic of no cluster") }
    byteCount -= topics.removeValue(forKey: id)?.byteCount ?? 0
  }

  mutating func end(_ head: ClusterHead) throws(PeerRefusal) -> ShippedCluster {
    guard isArriving else { throw .malformed("a cluster that ends and did not begin") }
    isArriving = false
    return ShippedCluster(
      identity: head.identity, version: head.version, kafkaAddress: head.kafkaAddress, registration: head.registration,
      settings: head.settings, topics: topics)
  }
}
