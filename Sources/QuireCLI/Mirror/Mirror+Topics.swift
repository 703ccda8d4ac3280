internal import KafkaClient
internal import Model
internal import Records

/// A topic on its way.
struct MirroredTopic: Sendable {
  var source: MirrorSource
  /// The mirror's own id, which every change of it names.
  var targetID: String
  var shifts: MirrorShifts
  /// The source does not have it any more: said once.
  var isGone = false
}

extension Mirror {
  /// Finds the topics, makes their mirrors ready, and where each goes on.
  func begin() async throws {
    sourceCluster = try await source.clusterID()
    if let cluster = sourceCluster, cluster == (try await target.clusterID()) {
      throw CommandFailure("source and target are the same cluster")
    }
    let found = try await chosenTopics()
    let missing = selection.topics.filter { name in !found.contains { $0.name == name } }
    if let first = missing.first { throw CommandFailure("the source has no topic '\(first)'") }
    if found.isEmpty, selection.isOnce { throw CommandFailure("the source has no topic that --topics matches") }
    for topic in found { try await prepare(topic) }
    if selection.isOnce {
      let names = partitions.keys.sorted()
      for (name, end) in try await source.offsets(.latest, of: names, isCommitted: true) {
        partitions[name]?.goal = end ?? 0
        partitions[name]?.sourceEnd = end ?? 0
      }
    }
  }

  private func chosenTopics() async throws -> [TopicDescription] {
    let all = try await source.topics()
    return all.filter { topic in
      if selection.topics.contains(topic.name) { return true }
      guard let pattern = selection.pattern else { return false }
      return !topic.isInternal && pattern.matches(topic.name)
    }
  }

  /// Makes the mirror of a topic ready: creates it, or checks that it is one of this topic, and finds where each partition goes on.
  private func prepare(_ topic: TopicDescription) async throws {
    let mark = MirrorSource(cluster: sourceCluster, topic: topic.name, topicID: topic.topicID)
    var shifts = try await makeMirror(of: topic, mark)
    let (targetID, extents) = try await describeTarget(topic.name)
    let names = topic.topicPartitions
    let starts = try await source.offsets(.earliest, of: names)
    var ready: [MirroredPartition] = []
    for name in names {
      guard let extent = extents.first(where: { $0.partition == name.partition }) else {
        throw CommandFailure("partition \(name) cannot be copied: the target does not have it")
      }
      // Mock brokers know no beginning of a log that never had a record.
      let start = min(max(0, (starts[name] ?? nil) ?? 0), LogStretch.offsetMax)
      let isEmpty = extent.logStartOffset == extent.logEndOffset
      let shift: Int64
      if let known = shifts.byPartition[name.partition] {
        shift = known
      } else {
        shift = try await firstShift(of: name, behind: extent, sourceStart: start)
        shifts.byPartition[name.partition] = shift
        if shift != 0 {
          voice.say("\(name): offsets of the copy are those of the source \(shift < 0 ? "-" : "+") \(shift.magnitude)")
        }
      }
      var partition = MirroredPartition(name, shift: shift, position: extent.logEndOffset - shift)
      if shift == 0, isEmpty, start >= extent.logEndOffset {
        partition.align(to: start)
        partition.logStart = start
      }
      partition.sourceStart = start
      ready.append(partition)
    }
    // Before the first record: from then on where a log ends means something only together with its shift.
    try await target.alterConfiguration(ofTopic: topic.name, [(MirrorShifts.key, shifts.text)])
    topics[topic.name] = MirroredTopic(source: mark, targetID: targetID, shifts: shifts)
    for partition in ready where partitions[partition.partition] == nil { partitions[partition.partition] = partition }
  }

  /// What is to be added to the source's offsets of a partition that was never copied: nothing, if the copy can begin where the source
  /// does. A log that was emptied goes on where it ended, which may be behind the beginning of the source's first batch.
  private func firstShift(
    of name: TopicPartition, behind extent: MirrorTarget.Extent, sourceStart start: Int64
  ) async throws -> Int64 {
    let isEmpty = extent.logStartOffset == extent.logEndOffset
    if isEmpty, extent.logEndOffset == 0 { return 0 }
    let first = try await firstBatch(of: name, at: start)
    return isEmpty && extent.logEndOffset <= first ? 0 : extent.logEndOffset - first
  }

  private func describeTarget(_ topic: String) async throws -> (topicID: String, extents: [MirrorTarget.Extent]) {
    do { return try await door.describe(topic) } catch let failure as MirrorTarget.Failure {
      throw CommandFailure("\(failure.message) (`--server` has to be the HTTP address of the node at `--to`)")
    }
  }

  /// Where the batch that holds the source's first record begins.
  private func firstBatch(of name: TopicPartition, at start: Int64) async throws -> Int64 {
    for _ in 0..<20 {
      let fetched = try await source.fetchCommitted(
        [(name, start)], partitionBytesMax: 1, bytesMax: 1 << 20, wait: .milliseconds(0))
      guard case .success(let fetch)? = fetched[name] else {
        try await Task.sleep(for: .milliseconds(250))
        continue
      }
      let stretch: CommittedStretch
      do throws(CommittedStretch.Failure) {
        stretch = try CommittedStretch(of: fetch.records, from: start, mayBeginEarlier: true)
      } catch { return start }
      return stretch.firstOffset
    }
    throw CommandFailure("the source does not say where partition \(name) begins")
  }

  /// - Returns: the shifts that are known.
  private func makeMirror(of topic: TopicDescription, _ mark: MirrorSource) async throws -> MirrorShifts {
    let count = Int32(topic.partitions.count)
    let existing = try await target.topics().first { $0.name == topic.name }
    guard let existing else {
      let settings = try await settings(of: topic.name)
      do {
        try await target.createTopic(
          topic.name, partitionCount: count, replicationFactor: nil, configuration: settings + [(MirrorSource.key, mark.text)])
      } catch let error as KafkaClientError where error.kafkaCode == .invalidConfig {
        throw CommandFailure("\(error.message); create the topic yourself, and begin again")
      }
      return MirrorShifts()
    }
    let known = try await target.describeConfiguration(ofTopic: topic.name, keys: [MirrorSource.key, MirrorShifts.key])
    func value(_ key: String) -> String { known.first { $0.key == key }?.value ?? "" }
    if known.isEmpty { throw CommandFailure("the target knows no mirrors: it is no Quire, or an older one") }
    if !value(MirrorSource.key).isEmpty {
      guard let other = MirrorSource(value(MirrorSource.key)), let shifts = MirrorShifts(parsing: value(MirrorShifts.key))
      else {
        throw CommandFailure("the configuration of topic '\(topic.name)' does not say what it is a mirror of")
      }
      if let complaint = other.complaint(about: mark) { throw CommandFailure("topic '\(topic.name)': \(complaint)") }
      try await extend(existing, to: count)
      return shifts
    }
    voice.say(
      "topic '\(topic.name)' exists at the target and becomes a mirror: it takes no other records until `quire mirror --stop`")
    try await extend(existing, to: count)
    // From here on nobody else moves its end. Shifts of an earlier mirroring mean nothing.
    try await target.alterConfiguration(ofTopic: topic.name, [(MirrorSource.key, mark.text), (MirrorShifts.key, nil)])
    return MirrorShifts()
  }

  private func extend(_ topic: TopicDescription, to count: Int32) async throws {
    if topic.partitions.count < Int(count) { try await target.createPartitions(of: topic.name, count: count) }
  }

  /// The settings that the source's topic has of its own, as far as they are known here.
  private func settings(of topic: String) async throws -> [(key: String, value: String)] {
    let all: [TopicSetting]
    do { all = try await source.describeConfiguration(ofTopic: topic, keys: nil) } catch let error as KafkaClientError {
      voice.say("topic '\(topic)': its settings are not copied: \(error.message)")
      return []
    }
    var settings: [(key: String, value: String)] = []
    for setting in all where setting.isOwn && !setting.key.hasPrefix("quire.mirror.") {
      guard let value = setting.value else { continue }
      // The copy may be on one node however many the source has.
      if setting.key == "min.insync.replicas" { continue }
      if let key = ConfigurationKey.topicKey(named: setting.key), key.complaint(about: value) == nil {
        settings.append((setting.key, value))
      } else {
        voice.say("topic '\(topic)': \(setting.key)=\(value) is not known here and is left out")
      }
    }
    return settings
  }

  // Changes at the source

  /// New topics and partitions join; a topic that is gone stays as it was copied, and one that is another by now is stopped.
  func lookForChanges() async throws {
    let found = try await chosenTopics()
    for (name, topic) in topics {
      guard let now = found.first(where: { $0.name == name }) else {
        if !topic.isGone { voice.say("the source has no topic '\(name)' any more; what was copied stays") }
        topics[name]!.isGone = true
        continue
      }
      topics[name]!.isGone = false
      let mark = MirrorSource(cluster: sourceCluster, topic: name, topicID: now.topicID)
      if let complaint = topic.source.complaint(about: mark) {
        for partition in partitions.values where partition.partition.topic == name && !partition.isStopped {
          stop(partition.partition, complaint)
        }
      } else if now.topicPartitions.contains(where: { partitions[$0] == nil }), !selection.isOnce {
        try await join(now)
      }
    }
    if selection.isOnce { return }
    for topic in found where topics[topic.name] == nil { try await join(topic) }
  }

  private func join(_ topic: TopicDescription) async throws {
    // A topic that cannot be copied is no reason not to copy those behind it.
    do { try await prepare(topic) } catch let failure as CommandFailure { voice.warn(failure.message) } catch let error
      as KafkaClientError
    {
      voice.warn("topic '\(topic.name)' cannot be copied now: \(error.message)")
    }
  }

  /// Ends the mirroring of topics: they take records of anybody again.
  static func end(_ names: [String], at target: KafkaClient, voice: MirrorVoice) async throws {
    for name in names {
      try await target.alterConfiguration(ofTopic: name, [(MirrorSource.key, nil), (MirrorShifts.key, nil)])
      voice.say("topic '\(name)' is no mirror any more")
    }
  }
}
