internal import FoundationEssentials
internal import Metadata
internal import Model

/// The cluster's image as it lies in etcd: one key for each thing that changes by itself.
///
/// ```
/// <prefix>cluster                      the cluster's id
/// <prefix>controller                   the controller's node id, under its lease
/// <prefix>nodes/<node id>              where a node is reached, under its lease
/// <prefix>directories/<node id>        which data directory the node has
/// <prefix>topics/<name>                id, number of partitions, settings
/// <prefix>partitions/<topic id>/<n>    leader, leader epoch, replicas, in-sync replicas
/// <prefix>suspects/<node id>/<by>      what a node says that found another one gone, under its own lease
/// <prefix>producer-ids                 the next producer id that nobody has
/// <prefix>settings/every-node          settings made at run time
/// <prefix>settings/nodes/<node id>
/// ```
/// Values are JSON objects; a field that a later version adds is let pass.
struct EtcdKeys: Hashable, Sendable {
  /// Ends with a slash.
  let prefix: String

  var cluster: String { prefix + "cluster" }
  var controller: String { prefix + "controller" }
  var producerIDs: String { prefix + "producer-ids" }
  var everyNode: String { prefix + "settings/every-node" }
  func node(_ id: NodeID) -> String { prefix + "nodes/\(id)" }
  func settings(of id: NodeID) -> String { prefix + "settings/nodes/\(id)" }
  func directory(of id: NodeID) -> String { prefix + "directories/\(id)" }
  func suspicions(of id: NodeID) -> String { prefix + "suspects/\(id)/" }
  func suspicion(of id: NodeID, by node: NodeID) -> String { suspicions(of: id) + "\(node)" }
  func topic(_ name: String) -> String { prefix + "topics/" + name }
  func partitions(of id: TopicID) -> String { prefix + "partitions/\(id)/" }
  func partition(_ number: Int, of id: TopicID) -> String { partitions(of: id) + "\(number)" }

  enum Kind: Hashable {
    case cluster, controller, everyNode, producerIDs
    case node(NodeID)
    case directory(NodeID)
    case settings(NodeID)
    case topic(String)
    case partition(String, Int)
    case suspicion(NodeID, by: NodeID)
    /// Of a later version.
    case unknown
  }

  func kind(of key: String) -> Kind {
    let path = key.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    switch (path.count, path.first) {
    case (1, "cluster"): return .cluster
    case (1, "controller"): return .controller
    case (1, "producer-ids"): return .producerIDs
    case (2, "nodes"): return Int32(path[1]).map { .node(NodeID($0)) } ?? .unknown
    case (2, "directories"): return Int32(path[1]).map { .directory(NodeID($0)) } ?? .unknown
    case (2, "topics"): return .topic(path[1])
    case (2, "settings") where path[1] == "every-node": return .everyNode
    case (3, "settings") where path[1] == "nodes": return Int32(path[2]).map { .settings(NodeID($0)) } ?? .unknown
    case (3, "suspects"):
      guard let id = Int32(path[1]), let by = Int32(path[2]) else { return .unknown }
      return .suspicion(NodeID(id), by: NodeID(by))
    case (3, "partitions"): return Int(path[2]).map { .partition(path[1], $0) } ?? .unknown
    default: return .unknown
    }
  }
}

struct ClusterRecord: Codable, Hashable {
  var id: String
}

struct ControllerRecord: Codable, Hashable {
  var node: Int32
}

struct DirectoryRecord: Codable, Hashable {
  var id: String
}

struct SuspicionRecord: Codable, Hashable {
  /// Of the node that is suspected: a later life of it is not.
  var incarnation: String
}

struct ProducerIDsRecord: Codable, Hashable {
  var next: Int64
}

struct NodeRecord: Codable, Hashable {
  var host: String
  var port: Int32
  var rack: String?
  /// `HOST:PORT` of its peer listener.
  var peer: String?
  var isStopping: Bool?
  var isRecovering: Bool?
  /// Where its data directory is: one process at a time has it.
  var place: String?
  /// Of this life of the node: tells it from a node that was given the same id by mistake.
  var incarnation: String
}

extension NodeRecord {
  init(_ node: NodeImage, place: String? = nil, incarnation: String) {
    self.init(
      host: node.host, port: node.port, rack: node.rack, peer: node.peer?.description, isStopping: node.isStopping ? true : nil,
      isRecovering: node.isRecovering ? true : nil, place: place, incarnation: incarnation)
  }

  func image(_ id: NodeID) -> NodeImage {
    var image = NodeImage(id: id, host: host, port: port, rack: rack, peer: peer.flatMap { HostPort($0) })
    image.isStopping = isStopping ?? false
    image.isRecovering = isRecovering ?? false
    return image
  }
}

struct TopicRecord: Codable, Hashable {
  var id: String
  var partitions: Int
  var settings: [String: String]
  var createdMs: Int64
}

struct PartitionRecord: Codable, Hashable {
  /// Missing where nobody leads.
  var leader: Int32?
  var leaderEpoch: Int32
  var replicas: [Int32]
  var isr: [Int32]
  var addingReplicas: [Int32]?
  var removingReplicas: [Int32]?

  init(_ image: PartitionImage) {
    func numbers(_ nodes: [NodeID]) -> [Int32] { nodes.map(\.rawValue) }
    leader = image.leader?.rawValue
    leaderEpoch = image.leaderEpoch.rawValue
    replicas = numbers(image.replicas)
    isr = numbers(image.isr)
    addingReplicas = image.addingReplicas.isEmpty ? nil : numbers(image.addingReplicas)
    removingReplicas = image.removingReplicas.isEmpty ? nil : numbers(image.removingReplicas)
  }

  var image: PartitionImage {
    func nodes(_ numbers: [Int32]?) -> [NodeID] { (numbers ?? []).map { NodeID($0) } }
    return PartitionImage(
      leader: leader.map { NodeID($0) }, leaderEpoch: LeaderEpoch(leaderEpoch), replicas: nodes(replicas), isr: nodes(isr),
      addingReplicas: nodes(addingReplicas), removingReplicas: nodes(removingReplicas))
  }
}

/// JSON with its keys in order, so that equal records are equal bytes.
func recordBytes(_ record: some Encodable) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  encoder.keyEncodingStrategy = .convertToSnakeCase
  do { return Array(try encoder.encode(record)) } catch { preconditionFailure("a record cannot be written: \(error)") }
}

/// - Throws: when the bytes are no such record: somebody else has written under our prefix.
func record<Record: Decodable>(_ type: Record.Type, _ entry: EtcdEntry) throws(EtcdError) -> Record {
  let decoder = JSONDecoder()
  decoder.keyDecodingStrategy = .convertFromSnakeCase
  do { return try decoder.decode(type, from: Data(entry.value)) } catch {
    throw .unreadable("the value of \(entry.key): \(error)")
  }
}
