import Cluster
import Coordination
import Glibc
import KafkaProtocol
import Logging
import Metadata
import Model
import NIOCore
import NIOPosix
import Records
import Storage
import TestSupport

@testable import Broker

/// A broker over a real store in a directory of its own, listening on a free port.
struct BrokerUnderTest: Sendable {
  let broker: KafkaBroker
  let store: LogStore
  let cluster: LocalClusterStore
  /// What the broker sees of it.
  let steered: SteeredCluster
  let groups: GroupCoordinator
  let group: MultiThreadedEventLoopGroup
  let port: Int
  static let now: Int64 = 1_700_000_000_000

  private init(
    _ directory: String, _ change: (inout BrokerConfiguration) -> Void, _ changeStore: (inout StoreOptions) -> Void
  ) async throws {
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    var options = StoreOptions(dataDirectory: directory, nodeID: NodeID(1))
    options.readThreadCount = 2
    options.reserveBytes = 64 << 10
    changeStore(&options)
    let store = try LogStore.open(options, logger: logger, now: { Self.now })
    let cluster = try LocalClusterStore.open(
      store: store, clusterID: store.node.clusterID, nodeID: NodeID(1), settings: NodeSettings(),
      entropy: {
        var random = SystemRandomNumberGenerator()
        return random.next()
      }, now: { Self.now })
    try await cluster.register(NodeImage(id: NodeID(1), host: "127.0.0.1", port: 9092, rack: nil))
    var groupConfiguration = GroupConfiguration()
    groupConfiguration.initialRebalanceDelayMilliseconds = 0
    try store.leadCoordinator(shardCount: 2)
    let groups = GroupCoordinator(
      configuration: groupConfiguration, persistence: CoordinatorStore(store, shardCount: 2),
      endpoint: { _ in .init(nodeID: NodeID(1), host: "127.0.0.1", port: 1) },
      topicPartitionExists: { cluster.image.topics[$0.topic]?.partition($0.partition) != nil }, logger: logger,
      now: GroupCoordinator.steadyClock())
    try groups.leadAll()
    var configuration = BrokerConfiguration(
      nodeID: NodeID(1), clusterID: store.node.clusterID, advertisedHost: "127.0.0.1", advertisedPort: 9092)
    change(&configuration)
    steered = SteeredCluster(cluster)
    broker = KafkaBroker(
      configuration: configuration, store: store, cluster: steered, groups: groups,
      admin: AdminContext(
        cluster: cluster, store: store, nodeID: NodeID(1), dataDirectory: directory, topicsDeleted: { groups.topicsDeleted($0) }
      ),
      logger: logger, now: { Self.now })
    group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    self.store = store
    self.cluster = cluster
    self.groups = groups
    let listener = try await KafkaListener.bind(on: group, host: "127.0.0.1", port: 0)
    port = listener.address.port!
    try await broker.start(on: group, listener: listener)
  }

  private func stop() async throws {
    groups.close()
    await broker.stop(patience: .seconds(2))
    cluster.close()
    try store.close()
    try await group.shutdownGracefully()
  }

  static func run(
    _ change: (inout BrokerConfiguration) -> Void = { _ in }, store: (inout StoreOptions) -> Void = { _ in },
    _ body: (BrokerUnderTest) async throws -> Void
  ) async throws {
    try await withTemporaryDirectory { directory in
      let broker = try await BrokerUnderTest(directory, change, store)
      do {
        try await body(broker)
      } catch {
        try? await broker.stop()
        throw error
      }
      try await broker.stop()
    }
  }

  func client(reading: Bool = true) async throws -> RawClient { try await RawClient.connect(to: port, reading: reading) }

  func createTopic(_ name: String, partitions: Int32 = 1, _ configuration: [String: String] = [:]) async throws {
    try await cluster.createTopic(named: name, partitionCount: partitions, configuration: configuration)
  }

  /// Waits until `condition` holds; false if it does not within two seconds.
  func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    for _ in 0..<6_000 {
      if try await condition() { return true }
      try await Task.sleep(for: .milliseconds(5))
    }
    return false
  }

  var openConnections: Int {
    get async throws {
      var open = 0
      for loop in broker.loops { open += try await loop.eventLoop.submit { loop.connections.count }.get() }
      return open
    }
  }
}

/// A batch of records with these values.
func batch(
  _ values: [String], compression: Compression = .none, timestamps: [Int64]? = nil,
  _ change: (inout BatchBuilder) -> Void = { _ in }
) throws -> ByteBuffer {
  var builder = BatchBuilder(compression: compression)
  change(&builder)
  for (index, value) in values.enumerated() {
    builder.append(key: nil, value: ByteBuffer(string: value), timestamp: timestamps?[index] ?? BrokerUnderTest.now)
  }
  return try builder.build()
}

func produceRequest(_ topic: String, _ parts: [(Int32, ByteBuffer)], acks: Int16 = -1) -> ProduceRequest {
  var request = ProduceRequest()
  request.acks = acks
  request.timeoutMs = 1000
  var data = ProduceRequest.TopicProduceData()
  data.name = topic
  data.partitionData = parts.map {
    var part = ProduceRequest.PartitionProduceData()
    part.index = $0.0
    part.records = RecordsField($0.1)
    return part
  }
  request.topicData = [data]
  return request
}

func fetchRequest(
  _ topic: String, _ parts: [(partition: Int32, offset: Int64)], waitMilliseconds: Int32 = 0, bytesMin: Int32 = 1,
  bytesMax: Int32 = 1 << 20, partitionBytesMax: Int32 = 1 << 20, _ change: (inout FetchRequest.Partition) -> Void = { _ in }
) -> FetchRequest {
  var request = FetchRequest()
  request.maxWaitMs = waitMilliseconds
  request.minBytes = bytesMin
  request.maxBytes = bytesMax
  var asked = FetchRequest.Topic()
  asked.topic = topic
  asked.partitions = parts.map {
    var part = FetchRequest.Partition()
    part.partition = $0.partition
    part.fetchOffset = $0.offset
    part.partitionMaxBytes = partitionBytesMax
    change(&part)
    return part
  }
  request.topics = [asked]
  return request
}

extension FetchResponse {
  var parts: [PartitionData] { responses.flatMap(\.partitions) }
}

extension FetchResponse.PartitionData {
  /// The offsets and values of all records.
  var contents: [(offset: Int64, value: String)] {
    get throws {
      var all = records?.joined ?? ByteBuffer()
      var found: [(Int64, String)] = []
      while all.readableBytes > 0 {
        let length = 12 + Int(all.getInteger(at: all.readerIndex + 8, as: Int32.self)!)
        let one = all.readSlice(length: length)!
        try one.withUnsafeReadableBytes { bytes in
          try forEachRecord(in: bytes, scratch: RecordScratch()) { record in
            found.append((record.offset.rawValue, record.value.map { String(decoding: $0, as: UTF8.self) } ?? "null"))
            return true
          }
        }
      }
      return found
    }
  }
  var values: [String] { get throws { try contents.map(\.value) } }
}
