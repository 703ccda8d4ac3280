internal import KafkaClient
internal import Model

/// What is known of the source's groups.
struct MirroredGroups: Sendable {
  /// The offsets that each had committed at the source when it was looked at last.
  var seen: [String: [TopicPartition: Int64]] = [:]
  /// Offsets committed in the mirror by this process.
  var commitCount = 0
  /// Groups that were read on in the mirror while this process looked.
  var active: Set<String> = []
  var cannotList = false
}

extension Mirror {
  /// Commits in the mirrors what the source's groups have committed, for groups without members there.
  func copyGroups() async throws {
    let names = partitions.keys.sorted()
    if names.isEmpty { return }
    for group in try await groupNames() {
      do { try await copyGroup(group, names) } catch let error as KafkaClientError {
        voice.warn("group '\(group)': \(error.message)")
      }
    }
  }

  private func groupNames() async throws -> [String] {
    if let named = selection.groups { return named }
    if groups.cannotList { return [] }
    do { return try await source.groups().map(\.groupID) } catch let error as KafkaClientError {
      guard error.code == .unsupportedVersion else { throw error }
      groups.cannotList = true
      voice.say("the source does not list its groups; name those whose offsets are to be copied with --group")
      return []
    }
  }

  private func copyGroup(_ group: String, _ names: [TopicPartition]) async throws {
    let committed = try await source.committedOffsets(of: group, partitions: names)
    if committed.isEmpty { return }
    let earlier = groups.seen[group] ?? [:]
    let present = try await target.committedOffsets(of: group, partitions: Array(committed.keys))
    var wanted: [TopicPartition: Int64] = [:]
    for (name, offset) in committed {
      guard let partition = partitions[name], partition.logStart == nil else { continue }
      wanted[name] = MirroredCommit.decide(
        source: offset, earlier: earlier[name], start: partition.sourceStart, copied: partition.position,
        shift: partition.shift, target: present[name])
    }
    if wanted.isEmpty {
      groups.seen[group] = committed
      return
    }
    do {
      try await target.commit(wanted, group: group)
      groups.seen[group] = committed
      groups.commitCount += wanted.count
      groups.active.remove(group)
    } catch let error as KafkaClientError where error.kafkaCode == .unknownMemberID {
      // It is being read on in the mirror: its members know better.
      if groups.active.insert(group).inserted {
        voice.say("group '\(group)' has members at the target: its offsets are left to them")
      }
    }
  }
}
