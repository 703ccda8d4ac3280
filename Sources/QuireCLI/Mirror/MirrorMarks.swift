internal import Model

/// What a mirror is a mirror of, as its topic's configuration says (`quire.mirror.source`): `cluster/topic/topic id`.
struct MirrorSource: Hashable, Sendable {
  static let key = "quire.mirror.source"
  /// `-` where the source does not tell it.
  var cluster: String
  var topic: String
  /// Tells a topic from a later one of its name; `-` where the source does not tell it.
  var topicID: String

  init(cluster: String?, topic: String, topicID: TopicID) {
    self.cluster = cluster ?? "-"
    self.topic = topic
    self.topicID = topicID == .zero ? "-" : "\(topicID)"
  }

  init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    (cluster, topic, topicID) = (String(parts[0]), String(parts[1]), String(parts[2]))
  }

  var text: String { "\(cluster)/\(topic)/\(topicID)" }

  /// Why a mirror of `self` must not be fed from `other`; nil if it may.
  func complaint(about other: MirrorSource) -> String? {
    if topic != other.topic || Self.differ(cluster, other.cluster) { return "it is a mirror of \(text), not of \(other.text)" }
    if Self.differ(topicID, other.topicID) {
      return "the source's topic was deleted and created anew since (its id was \(topicID), and is \(other.topicID)); "
        + "delete the copy, or end its mirroring with `quire mirror --stop`"
    }
    return nil
  }

  private static func differ(_ a: String, _ b: String) -> Bool { a != b && a != "-" && b != "-" }
}

/// What is added to the source's offsets in each partition (`quire.mirror.shifts`): `0:0,1:-20`.
struct MirrorShifts: Hashable, Sendable {
  static let key = "quire.mirror.shifts"
  var byPartition: [Int32: Int64] = [:]

  init(_ byPartition: [Int32: Int64] = [:]) { self.byPartition = byPartition }

  /// - Returns: nil for a text that is no such list.
  init?(parsing text: String) {
    for pair in text.split(separator: ",") {
      let parts = pair.split(separator: ":")
      guard parts.count == 2, let partition = Int32(parts[0]), let shift = Int64(parts[1]) else { return nil }
      byPartition[partition] = shift
    }
  }

  var text: String { byPartition.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" }.joined(separator: ",") }
}

/// Where a group's committed offset goes in the mirror.
enum MirroredCommit {
  /// - Parameters:
  ///   - source: what the group has committed at the source.
  ///   - earlier: the same, when this process saw it last; nil at first.
  ///   - start: where the source's log starts: what was committed below it goes on there.
  ///   - copied: the source's offsets below this are in the mirror.
  ///   - target: what the group has committed in the mirror; nil for nothing.
  /// - Returns: the offset to commit in the mirror; nil to leave it as it is.
  static func decide(source: Int64, earlier: Int64?, start: Int64, copied: Int64, shift: Int64, target: Int64?) -> Int64? {
    // Behind the copy's end a consumer would be out of range.
    let wanted = min(max(source, start), copied) + shift
    guard wanted >= 0, wanted != target else { return nil }
    guard let target, wanted < target else { return wanted }
    // The group may have read on in the mirror: it goes back only where it was taken back at the source.
    guard let earlier, source < earlier else { return nil }
    return wanted
  }
}
