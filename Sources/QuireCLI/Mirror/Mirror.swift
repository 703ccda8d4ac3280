internal import KafkaClient
internal import Model
internal import NIOCore
internal import Records

/// Copies topics from one cluster into a node: rounds of one fetch from each broker and one append to each partition it brought
/// something of.
///
/// Nothing is remembered here: where a mirror's log ends says how far it has come.
actor Mirror {
  struct Selection: Sendable {
    var topics: [String]
    var pattern: TopicPattern?
    /// Nil for all groups.
    var groups: [String]?
    var isOnce: Bool
  }

  /// Of one partition and of one broker's answer. A round has at most one such answer of each broker in memory, twice.
  private static let partitionBytesMax = 2 << 20
  private static let fetchBytesMax = 16 << 20
  /// Appends at once; each waits for a sync, which those of other partitions share.
  private static let appendsMax = 6

  let source: KafkaClient
  let target: KafkaClient
  let door: MirrorTarget
  let selection: Selection
  let voice: MirrorVoice

  var topics: [String: MirroredTopic] = [:]
  var partitions: [TopicPartition: MirroredPartition] = [:]
  var groups = MirroredGroups()
  var sourceCluster: String?
  private var turn = 0

  init(source: KafkaClient, target: KafkaClient, door: MirrorTarget, selection: Selection, voice: MirrorVoice) {
    self.source = source
    self.target = target
    self.door = door
    self.selection = selection
    self.voice = voice
  }

  /// - Throws: what makes it useless to begin; `CancellationError`.
  func run() async throws {
    try await begin()
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await self.repeating(every: .seconds(3)) { try await self.copyGroups() } }
      tasks.addTask { try await self.repeating(every: .seconds(5)) { try await self.lookForChanges() } }
      defer { tasks.cancelAll() }
      try await copy()
    }
    try await copyGroups()
  }

  /// Once more what groups have committed, for an end by a signal: a few seconds at most.
  func copyGroupsBeforeEnd() async {
    await withTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try? await self.copyGroups() }
      tasks.addTask { try? await Task.sleep(for: .seconds(5)) }
      await tasks.next()
      tasks.cancelAll()
    }
  }

  private func repeating(every interval: Duration, _ work: () async throws -> Void) async throws {
    while true {
      do { try await Task.sleep(for: interval) } catch { return }
      do { try await work() } catch is CancellationError { return } catch let error as KafkaClientError {
        voice.warn(error.message)
      }
    }
  }

  // Copying

  private func copy() async throws {
    var stretches: [(partition: TopicPartition, stretch: CommittedStretch)] = []
    while true {
      try Task.checkCancellation()
      if selection.isOnce, partitions.values.allSatisfy(\.isDone) { return }
      if !selection.isOnce, !partitions.isEmpty, partitions.values.allSatisfy(\.isStopped) {
        throw CommandFailure("nothing is left to copy")
      }
      try await realignUnsure()
      let due = duePartitions()
      if due.isEmpty, stretches.isEmpty {
        try await Task.sleep(for: .milliseconds(50))
        continue
      }
      // The next round is fetched while this one is appended.
      let inFlight = stretches
      async let appended: Void = append(inFlight)
      let fetched =
        due.isEmpty
        ? [:]
        : try await source.fetchCommitted(
          due, partitionBytesMax: Self.partitionBytesMax, bytesMax: Self.fetchBytesMax,
          wait: selection.isOnce ? .milliseconds(100) : .milliseconds(500))
      try await appended
      for each in inFlight { partitions[each.partition]?.pendingEnd = nil }
      stretches = []
      for (name, offset) in due {
        // What went wrong with what was in front of it makes it useless: what is missing must not be taken for a gap.
        guard let outcome = fetched[name], let partition = partitions[name], !partition.isUnsure, !partition.isStopped,
          partition.fetchOffset == offset
        else { continue }
        guard let stretch = try await take(outcome, of: name) else { continue }
        stretches.append((name, stretch))
        partitions[name]!.pendingEnd = stretch.nextOffset
      }
      voice.progress(partitions.values)
    }
  }

  /// In an order that begins with another one each time: a broker serves those that come first.
  private func duePartitions() -> [(partition: TopicPartition, offset: Int64)] {
    let now = ContinuousClock.now
    let due = partitions.values.filter { $0.isDue(now) && !$0.isUnsure && !(selection.isOnce && $0.isNearlyDone) }
      .sorted { $0.partition < $1.partition }.map { (partition: $0.partition, offset: $0.fetchOffset) }
    guard !due.isEmpty else { return [] }
    turn += 1
    let first = turn % due.count
    return Array(due[first...] + due[..<first])
  }

  /// What is to be appended of what was fetched.
  private func take(
    _ outcome: Result<CommittedFetch, KafkaClientError>, of name: TopicPartition
  ) async throws -> CommittedStretch? {
    switch outcome {
    case .failure(let error) where error.kafkaCode == .offsetOutOfRange:
      try await leaveRange(name)
      return nil
    case .failure(let error):
      fail(name, error.message)
      return nil
    case .success(let fetched):
      var partition = partitions[name]!
      partition.sourceEnd = fetched.lastStableOffset
      partition.sourceStart = max(partition.sourceStart, fetched.logStartOffset)
      partition.succeeded()
      if selection.isOnce {
        partition.note(isEmpty: fetched.lastStableOffset <= partition.position, .now)
      }
      partitions[name] = partition
      do throws(CommittedStretch.Failure) {
        let stretch = try CommittedStretch(
          of: fetched.records, from: partition.position, mayBeginEarlier: partition.logStart != nil, aborted: fetched.aborted,
          shift: partition.shift)
        if stretch.nextOffset > partition.position { return stretch }
      } catch {
        stop(name, Self.words(error))
        return nil
      }
      // Nothing is left at the source up to where it was asked.
      if let goneTo = partition.goneTo, goneTo > partition.position, fetched.lastStableOffset <= goneTo {
        return CommittedStretch(gap: partition.position..<goneTo, shift: partition.shift)
      }
      if partition.logStart != nil, fetched.lastStableOffset <= partition.position { try await beginEmpty(name) }
      return nil
    }
  }

  private static func words(_ failure: CommittedStretch.Failure) -> String {
    switch failure {
    case .distance(let offset): "the source has a batch at \(offset), which no log can have there"
    case .overlap(let offset):
      "the source has a batch at \(offset) that the copy ends inside of: its log is not the one that was copied"
    case .bytes(.unsupportedMagic(let magic), let offset):
      "the source has records in message format \(magic) at \(offset), older than Kafka 0.11; they cannot be copied"
    case .bytes(let error, let offset): "the source's batch at \(offset) is damaged: \(error)"
    }
  }

  private func append(_ stretches: [(partition: TopicPartition, stretch: CommittedStretch)]) async throws {
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for (index, each) in stretches.enumerated() {
        if index >= Self.appendsMax { try await tasks.next() }
        tasks.addTask { try await self.append(each.stretch, to: each.partition) }
      }
      try await tasks.waitForAll()
    }
  }

  private func append(_ stretch: CommittedStretch, to name: TopicPartition) async throws {
    guard let partition = partitions[name], let topic = topics[name.topic] else { return }
    guard stretch.batches.readableBytes <= Limits.mirrorBodyBytesMax else {
      return stop(name, "a batch at \(stretch.firstOffset) has more than \(Limits.mirrorBodyBytesMax) bytes")
    }
    do {
      if partition.logStart != nil, partition.shift == 0 {
        if let reason = try await begin(name, topic, at: stretch.firstOffset) { return stop(name, reason) }
      }
      let extent = try await door.append(
        stretch.batches, to: name, topicID: topic.targetID,
        logStartOffset: partition.shift == 0 ? partition.logStart : nil)
      partitions[name]!.align(to: extent.logEndOffset - partition.shift)
      partitions[name]!.logStart = nil
      partitions[name]!.recordCount += stretch.recordCount
      partitions[name]!.byteCount += stretch.batches.readableBytes
    } catch let failure as MirrorTarget.Failure {
      take(failure, of: name)
    }
  }

  /// Has the copy begin at an offset of the source.
  ///
  /// - Returns: why it never can.
  private func begin(_ name: TopicPartition, _ topic: MirroredTopic, at offset: Int64) async throws -> String? {
    do { _ = try await door.begin(name, topicID: topic.targetID, at: offset) } catch let failure as MirrorTarget.Failure
      where failure.kind == .misplaced
    {
      let (topicID, extents) = try await door.describe(name.topic)
      guard topicID == topic.targetID, let extent = extents.first(where: { $0.partition == name.partition }),
        extent.logStartOffset == extent.logEndOffset, extent.logEndOffset > offset
      else { throw failure }
      return
        "the copy was emptied and ends at \(extent.logEndOffset), inside of the source's first batch, which begins at \(offset); "
        + "delete the copy to begin anew"
    }
    return nil
  }

  /// A partition that has nothing at the source begins where that does.
  private func beginEmpty(_ name: TopicPartition) async throws {
    guard let partition = partitions[name], let topic = topics[name.topic] else { return }
    do {
      let extent = try await door.begin(name, topicID: topic.targetID, at: partition.position + partition.shift)
      partitions[name]!.align(to: extent.logEndOffset - partition.shift)
      partitions[name]!.logStart = nil
    } catch let failure as MirrorTarget.Failure {
      take(failure, of: name)
    }
  }

  private func take(_ failure: MirrorTarget.Failure, of name: TopicPartition) {
    switch failure.kind {
    case .final: stop(name, failure.message)
    case .misplaced: partitions[name]!.isUnsure = true
    case .passing:
      partitions[name]!.isUnsure = true
      fail(name, failure.message)
    }
  }

  /// Asks where the mirror's log ends, of those where the last answer is missing.
  private func realignUnsure() async throws {
    let now = ContinuousClock.now
    let unsure = partitions.values.filter { $0.isUnsure && $0.isDue(now) }
    for topic in Set(unsure.map(\.partition.topic)) {
      do {
        let (topicID, extents) = try await door.describe(topic)
        for extent in extents {
          let name = TopicPartition(topic: topic, partition: extent.partition)
          guard let partition = partitions[name], partition.isUnsure else { continue }
          if topicID != topics[topic]?.targetID {
            stop(name, "the mirror's topic was deleted and created anew")
            continue
          }
          if partition.logStart != nil, extent.logEndOffset == extent.logStartOffset {
            partitions[name]!.isUnsure = false
            continue
          }
          partitions[name]!.logStart = nil
          partitions[name]!.align(to: extent.logEndOffset - partition.shift)
        }
      } catch let failure as MirrorTarget.Failure {
        for partition in unsure where partition.partition.topic == topic {
          if failure.kind == .final {
            stop(partition.partition, failure.message)
          } else {
            fail(partition.partition, failure.message)
          }
        }
      }
    }
  }

  /// The source has nothing at the offset that was asked for: retention was faster, or the log is another.
  private func leaveRange(_ name: TopicPartition) async throws {
    do {
      let earliest = try await source.offsets(.earliest, of: [name])[name] ?? nil
      let latest = try await source.offsets(.latest, of: [name])[name] ?? nil
      guard let earliest, let latest, var partition = partitions[name] else {
        return fail(name, "the source does not say where it begins")
      }
      if latest < partition.position {
        return stop(
          name,
          "the source ends at \(latest), in front of \(partition.position), to where it was copied: its log is not the one that was copied"
        )
      }
      guard earliest > partition.fetchOffset else { return fail(name, "the source refuses offset \(partition.fetchOffset)") }
      if partition.logStart == nil {
        let lost = earliest - partition.fetchOffset
        partition.lostOffsets += lost
        voice.warn("\(name): the source let go of \(lost) offsets from \(partition.fetchOffset) on before they were copied")
      } else {
        partition.logStart = earliest
        if partition.shift == 0 { partition.align(to: earliest) }
      }
      partition.goneTo = earliest
      partitions[name] = partition
    } catch let error as KafkaClientError {
      fail(name, error.message)
    }
  }

  // Failures

  private func fail(_ name: TopicPartition, _ message: String) {
    partitions[name]?.backOff(.now)
    voice.warn(message)
  }

  func stop(_ name: TopicPartition, _ reason: String) {
    partitions[name]?.stopReason = reason
    voice.say("\(name) is not copied any more: \(reason)")
  }
}
