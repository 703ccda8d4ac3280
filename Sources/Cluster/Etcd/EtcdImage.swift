internal import Metadata
internal import Model

/// The keys of etcd as this node has read them, and the image that they make.
///
/// A topic is in the image once its own key and all of its partitions' are there: they come in several transactions when there are many.
///
/// - Invariant: `image` is what the keys say, as far as they can be read.   (Cluster #5)
struct EtcdImage: Sendable {
  private(set) var image: ClusterImage
  let keys: EtcdKeys
  /// What a change of a key compares with; 0 for one that is not there.
  private(set) var modRevisions: [String: Int64] = [:]
  private var topics: [String: TopicRecord] = [:]
  private var partitions: [String: [Int: PartitionImage]] = [:]
  private var nodes: [NodeID: NodeRecord] = [:]
  var nodeRecords: [NodeID: NodeRecord] { nodes }
  /// Incarnations of nodes that others found gone, by those.
  private(set) var suspicions: [NodeID: [NodeID: String]] = [:]
  /// The data directories that nodes had.
  private(set) var directories: [NodeID: String] = [:]
  private(set) var clusterID: String?
  private(set) var controller: NodeID?
  /// The next producer id that nobody has.
  private(set) var nextProducerID: Int64 = 0
  let nodeID: NodeID
  /// What could not be read, in sentences.
  private(set) var complaints: [String] = []

  init(keys: EtcdKeys, nodeID: NodeID, settings: NodeSettings) {
    self.keys = keys
    self.nodeID = nodeID
    image = ClusterImage(clusterID: "", nodeSettings: settings)
  }

  /// An image of these keys alone.
  init(keys: EtcdKeys, nodeID: NodeID, settings: NodeSettings, entries: [EtcdEntry]) {
    self.init(keys: keys, nodeID: nodeID, settings: settings)
    // The id first: an image has the one that it was made with.
    if let entry = entries.first(where: { $0.key == keys.cluster }), let record = try? record(ClusterRecord.self, entry) {
      clusterID = record.id
      image = ClusterImage(clusterID: record.id, nodeSettings: settings)
    }
    for entry in entries { apply(key: entry.key, entry) }
  }

  func modRevision(of key: String) -> Int64 { modRevisions[key] ?? 0 }

  /// The topic as its key says; it may not be in the image yet.
  func topicRecord(_ name: String) -> TopicRecord? { topics[name] }

  func node(_ id: NodeID) -> (record: NodeRecord, modRevision: Int64)? {
    nodes[id].map { ($0, modRevision(of: keys.node(id))) }
  }

  /// More than half of those who could say so found this life of the node gone; who is suspected as well is not asked.
  func isSuspected(_ id: NodeID) -> Bool {
    guard let incarnation = nodes[id]?.incarnation else { return false }
    func suspects(_ id: NodeID) -> Set<NodeID> {
      Set(suspicions[id, default: [:]].filter { $0.value == nodes[id]?.incarnation && nodes[$0.key] != nil }.keys)
    }
    let witnesses = nodes.keys.filter { $0 != id && suspects($0).subtracting([id]).isEmpty }
    let against = suspicions[id, default: [:]].count { $0.value == incarnation && witnesses.contains($0.key) }
    return against * 2 > witnesses.count
  }

  /// Whether a node that hears nothing of some others is itself the one that is cut off: where it hears most of several others no more.
  static func isCutOff(hearsNothingOf unheard: Set<NodeID>, of others: Set<NodeID>) -> Bool {
    others.count > 1 && unheard.intersection(others).count * 2 > others.count
  }

  /// A key was written, or deleted (nil).
  mutating func apply(key: String, _ entry: EtcdEntry?) {
    modRevisions[key] = entry?.modRevision
    do throws(EtcdError) { try take(keys.kind(of: key), entry) } catch {
      complaints.append(error.description)
      if complaints.count > 100 { complaints.removeFirst() }
    }
  }

  private mutating func take(_ kind: EtcdKeys.Kind, _ entry: EtcdEntry?) throws(EtcdError) {
    switch kind {
    case .cluster: if let entry { clusterID = try record(ClusterRecord.self, entry).id }
    case .controller:
      controller = try entry.map { entry throws(EtcdError) in NodeID(try record(ControllerRecord.self, entry).node) }
    case .producerIDs:
      if let entry { nextProducerID = try record(ProducerIDsRecord.self, entry).next }
    case .everyNode: change(.dynamicDefaultsReplaced(try settings(entry)))
    case .settings(let id): if id == nodeID { change(.dynamicNodeSettingsReplaced(try settings(entry))) }
    case .node(let id):
      guard let entry else {
        nodes[id] = nil
        return change(.nodeUnregistered(id))
      }
      let node = try record(NodeRecord.self, entry)
      nodes[id] = node
      change(.nodeRegistered(node.image(id)))
    case .directory(let id):
      directories[id] = try entry.map { entry throws(EtcdError) in try record(DirectoryRecord.self, entry).id }
    case .suspicion(let id, let by):
      suspicions[id, default: [:]][by] = try entry.map { entry throws(EtcdError) in
        try record(SuspicionRecord.self, entry).incarnation
      }
      if suspicions[id]?.isEmpty == true { suspicions[id] = nil }
    case .topic(let name): try take(topic: name, entry)
    case .partition(let id, let number): try take(partition: number, of: id, entry)
    case .unknown: break
    }
  }

  private func settings(_ entry: EtcdEntry?) throws(EtcdError) -> [String: String] {
    try entry.map { entry throws(EtcdError) in try record([String: String].self, entry) } ?? [:]
  }

  private mutating func take(topic name: String, _ entry: EtcdEntry?) throws(EtcdError) {
    let next = try entry.map { entry throws(EtcdError) in try record(TopicRecord.self, entry) }
    if let known = image.topics[name], known.id.description != next?.id { change(.topicDeleted(known.id)) }
    topics[name] = next
    guard let next else { return }
    show(name, next)
  }

  private mutating func take(partition number: Int, of id: String, _ entry: EtcdEntry?) throws(EtcdError) {
    let next = try entry.map { entry throws(EtcdError) in
      var image = try record(PartitionRecord.self, entry).image
      image.version = entry.modRevision
      return image
    }
    partitions[id, default: [:]][number] = next
    if partitions[id]?.isEmpty == true { partitions[id] = nil }
    guard let next, let topicID = TopicID(text: id), let name = image.topicName(topicID) ?? waiting(for: id) else { return }
    if image.topics[name]?.id == topicID, number < image.topics[name]?.partitions.count ?? 0 {
      change(.partitionChanged(topicID, partition: Int32(number), next))
    } else if let topic = topics[name] {
      show(name, topic)
    }
  }

  /// The topic that is not in the image yet because partitions of it are missing.
  private func waiting(for id: String) -> String? { topics.first { $0.value.id == id }?.key }

  /// Puts the topic into the image as far as it is complete, or brings the one there up to date.
  private mutating func show(_ name: String, _ topic: TopicRecord) {
    guard let id = TopicID(text: topic.id) else { return complaints.append("the topic \(name) has no id") }
    let known = image.topics[name]
    let have = partitions[topic.id] ?? [:]
    let first = known?.partitions.count ?? 0
    var new: [PartitionImage] = []
    for number in first..<max(topic.partitions, first) {
      guard let partition = have[number] else { break }
      new.append(partition)
    }
    let isComplete = first + new.count >= topic.partitions
    if known == nil {
      if isComplete { change(.topicCreated(TopicImage(name: name, id: id, partitions: new, settings: topic.settings))) }
      return
    }
    if !new.isEmpty, isComplete { change(.partitionsAdded(id, new)) }
    if known?.settings != topic.settings { change(.topicSettingsReplaced(id, topic.settings)) }
  }

  private mutating func change(_ change: ClusterChange) {
    do throws(ClusterChangeError) { try image.apply(change) } catch { complaints.append("\(change): \(error)") }
  }
}
