internal import KafkaProtocol
internal import Model
public import NIOCore

/// A client of a Kafka cluster: it finds the brokers, speaks to the right one, and says in one line what went wrong.
///
/// One connection per broker, made when first needed and again after it was lost. Errors that pass by themselves are retried until
/// the time limit of the operation.
public actor KafkaClient {
  public struct Timeouts: Sendable {
    /// For a TCP connection to come about.
    public var connect: TimeAmount
    /// For the answer to one request.
    public var request: TimeAmount
    /// For an operation with all its retries.
    public var operation: TimeAmount

    public init(connect: TimeAmount, request: TimeAmount, operation: TimeAmount) {
      self.connect = connect
      self.request = request
      self.operation = operation
    }

    var requestMilliseconds: Int32 { Int32(clamping: request.nanoseconds / 1_000_000) }

    public static let standard = Timeouts(connect: .seconds(5), request: .seconds(30), operation: .seconds(60))
  }

  /// Between two attempts at the same thing.
  static let retryPause = Duration.milliseconds(100)

  private let bootstrap: [BrokerAddress]
  private let clientID: String
  let timeouts: Timeouts

  private var brokers: [Int32: BrokerAddress] = [:]
  private var controllerID: Int32 = -1
  private var knownClusterID: String?
  private var topics: [String: TopicDescription] = [:]
  private var connections: [BrokerAddress: Task<BrokerConnection, any Error>] = [:]
  private var coordinators: [String: BrokerAddress] = [:]
  /// Where somebody listened once: a broker that is away now is probably being restarted.
  private var reached: Set<BrokerAddress> = []

  /// - Parameter bootstrap: brokers to begin with, at least one; nothing is connected yet.
  public init(bootstrap: [BrokerAddress], clientID: String, timeouts: Timeouts = .standard) {
    precondition(!bootstrap.isEmpty, "a client begins with the address of a broker")
    self.bootstrap = bootstrap
    self.clientID = clientID
    self.timeouts = timeouts
  }

  /// Closes every connection. The client can be used again: it connects anew.
  public func close() async {
    let open = connections.values
    connections = [:]
    for task in open { await (try? task.value)?.close() }
  }

  // MARK: Brokers

  var knownBrokers: [BrokerAddress] { brokers.sorted { $0.key < $1.key }.map(\.value) }

  func connection(to address: BrokerAddress) async throws -> BrokerConnection {
    if let task = connections[address] {
      if let connection = try? await task.value, connection.isOpen { return connection }
      if connections[address] == task { connections[address] = nil }
      return try await connection(to: address)
    }
    let (clientID, timeouts) = (clientID, timeouts)
    let task = Task { try await BrokerConnection.connect(to: address, clientID: clientID, timeouts: timeouts) }
    connections[address] = task
    do {
      let connection = try await task.value
      reached.insert(address)
      return connection
    } catch {
      if connections[address] == task { connections[address] = nil }
      throw finalUnlessReached(error, at: address)
    }
  }

  /// Where nobody ever listened, waiting is no use: the address is wrong or the node was not started, and a person waits.
  private func finalUnlessReached(_ error: any Error, at address: BrokerAddress) -> any Error {
    guard var error = error as? KafkaClientError, error.code == .unreachable, !reached.contains(address) else { return error }
    error.isFinal = true
    return error
  }

  /// A connection to any broker: one of those already known, or the first of the bootstrap list that answers.
  func anyBroker() async throws -> BrokerConnection {
    var failure: (any Error)?
    // Of a cluster some brokers may be away, also those that were named to begin with.
    for address in bootstrap + knownBrokers.filter({ !bootstrap.contains($0) }) {
      do { return try await connection(to: address) } catch {
        if error is CancellationError { throw error }
        failure = failure ?? error
      }
    }
    throw failure!
  }

  func controller() async throws -> BrokerConnection {
    if brokers.isEmpty { _ = try await refreshMetadata(topics: [], allowAutoTopicCreation: false) }
    guard let address = brokers[controllerID] else { return try await anyBroker() }
    return try await advertised(address)
  }

  /// Connects to an address that came out of metadata, and says so if that does not work.
  func advertised(_ address: BrokerAddress) async throws -> BrokerConnection {
    do { return try await connection(to: address) } catch let error as KafkaClientError where error.code == .unreachable {
      if bootstrap.contains(address) { throw error }
      var explained = error
      explained.message += "; \(bootstrap[0]) advertises that address (`--advertise`)"
      throw explained
    }
  }

  // MARK: Metadata

  /// Asks for the brokers and the given topics (nil: all of them), and remembers the answer.
  @discardableResult
  func refreshMetadata(topics names: [String]?, allowAutoTopicCreation: Bool) async throws -> [TopicDescription] {
    var request = MetadataRequest()
    request.topics = names.map { names in
      names.map { name in
        var topic = MetadataRequest.Topic()
        topic.name = name
        return topic
      }
    }
    request.allowAutoTopicCreation = allowAutoTopicCreation
    let response = try await anyBroker().send(request)
    brokers = [:]
    for broker in response.brokers { brokers[broker.nodeID] = BrokerAddress(host: broker.host, port: Int(broker.port)) }
    controllerID = response.controllerID
    knownClusterID = response.clusterID
    let descriptions = response.topics.map(TopicDescription.init)
    for topic in descriptions { topics[topic.name] = topic.errorCode == .none ? topic : nil }
    return descriptions
  }

  /// A topic with its partitions, from memory if it is known.
  ///
  /// - Parameter creating: whether the broker may create it (`auto.create.topics.enable` decides in the end).
  /// - Throws: `.refused` with `unknownTopicOrPartition` if there is no such topic.
  public func topic(_ name: String, creating: Bool = false) async throws -> TopicDescription {
    if let known = topics[name] { return known }
    return try await retrying {
      let answer = try await self.refreshMetadata(topics: [name], allowAutoTopicCreation: creating)
      guard let topic = answer.first(where: { $0.name == name }) else {
        throw KafkaClientError(.malformedResponse, "the broker said nothing about topic '\(name)'")
      }
      if topic.errorCode == .unknownTopicOrPartition, !creating { throw Self.noSuchTopic(name) }
      if topic.errorCode != .none { throw KafkaClientError.refused("topic '\(name)'", topic.errorCode) }
      return topic
    }
  }

  static func noSuchTopic(_ name: String) -> KafkaClientError {
    // Said in a way that is not retried: without creating, a topic that is not there will not come.
    KafkaClientError(.invalidArgument, "topic '\(name)' does not exist", kafkaCode: .unknownTopicOrPartition)
  }

  func forget(topic: String) { topics[topic] = nil }
  func isKnown(topic: String) -> Bool { topics[topic] != nil }

  /// The cluster's own name; nil where the brokers do not tell.
  public func clusterID() async throws -> String? {
    if knownClusterID == nil {
      try await retrying { _ = try await self.refreshMetadata(topics: [], allowAutoTopicCreation: false) }
    }
    return knownClusterID
  }

  /// The topics as they are now, also those that cannot be described: these have no partitions. One attempt.
  public func describe(_ names: [String]) async throws -> [TopicDescription] {
    try await refreshMetadata(topics: names, allowAutoTopicCreation: false)
  }

  /// The broker that leads a partition.
  func leader(of partition: TopicPartition) async throws -> BrokerConnection {
    let topic = try await topic(partition.topic)
    guard let description = topic.partitions.first(where: { $0.index == partition.partition }) else {
      throw KafkaClientError(
        .invalidArgument, "topic '\(partition.topic)' has no partition \(partition.partition): it has \(topic.partitions.count)"
      )
    }
    guard let address = brokers[description.leaderID] else {
      throw KafkaClientError.refused("partition \(partition)", .leaderNotAvailable)
    }
    return try await advertised(address)
  }

  /// Splits partitions by the broker that leads them.
  func leaders(of partitions: some Sequence<TopicPartition>) async throws -> [(BrokerConnection, [TopicPartition])] {
    var groups: [(BrokerConnection, [TopicPartition])] = []
    for partition in partitions.sorted() {
      let leader = try await leader(of: partition)
      if let i = groups.firstIndex(where: { $0.0 === leader }) {
        groups[i].1.append(partition)
      } else {
        groups.append((leader, [partition]))
      }
    }
    return groups
  }

  // MARK: Groups

  /// The broker that coordinates a group.
  func coordinator(of group: String) async throws -> BrokerConnection {
    if let address = coordinators[group] { return try await advertised(address) }
    let connection = try await anyBroker()
    var request = FindCoordinatorRequest()
    request.key = group
    request.coordinatorKeys = [group]
    let response = try await connection.send(request)
    let found: (code: ErrorCode, message: String?, host: String, port: Int32)
    if let first = response.coordinators.first {
      found = (first.errorCode, first.errorMessage, first.host, first.port)
    } else {
      found = (response.errorCode, response.errorMessage, response.host, response.port)
    }
    guard found.code == .none else { throw KafkaClientError.refused("group '\(group)'", found.code, found.message) }
    let address = BrokerAddress(host: found.host, port: Int(found.port))
    coordinators[group] = address
    return try await advertised(address)
  }

  func forget(coordinatorOf group: String) { coordinators[group] = nil }

  /// Runs `operation` with the group's coordinator, again as long as its errors pass by themselves.
  func withCoordinator<R: Sendable>(
    of group: String, _ operation: @Sendable (BrokerConnection) async throws -> R
  ) async throws -> R {
    try await retrying {
      do {
        return try await operation(try await self.coordinator(of: group))
      } catch {
        self.forget(coordinatorOf: group)
        throw error
      }
    }
  }
}

extension KafkaClient {
  /// A connection to every broker that the metadata names.
  func allBrokers() async throws -> [BrokerConnection] {
    if knownBrokers.isEmpty { return [try await anyBroker()] }
    var connections: [BrokerConnection] = []
    for address in knownBrokers { connections.append(try await advertised(address)) }
    return connections
  }
}
