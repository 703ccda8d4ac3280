internal import Model
internal import SQLite

extension Doctor {
  /// Examines one directory under `topics/`, or a shard of the coordinator: its segments, and that they join up as the active one says.
  struct PartitionExamination {
    let directory: String
    let name: String
    let image: NodeImage

    /// Looks at one that changes as often as this; what is seen then is said.
    private static let attemptsMax = 3

    func examine(into examination: inout Examination) {
      if name.hasPrefix(LogStore.gravePrefix) {
        examination.found(.notice(directory, "left over from the deletion of a partition", remedy: Remedy.leftover))
        return
      }
      guard let partition = TopicPartition(directoryName: name) else {
        examination.found(
          .notice(directory, "this is not a partition's directory", remedy: "take it out of the data directory"))
        return
      }
      let isShard = partition.topic == CoordinatorTopic.name
      if !isShard { examination.countPartition() }
      let known = isShard ? image.shards[Int(partition.partition)] : image.partitions[partition]
      if known == nil, image.isKnown, !isShard {
        examination.found(
          .notice(
            directory, "quire.db names no such partition",
            remedy: "left over from an unfinished creation or deletion, or copied here; no client can see it"))
      }
      for attempt in 1...Self.attemptsMax {
        var found = Examination()
        let before = names()
        let state = examineSegments(before, of: partition, known, into: &found)
        if found.findings.isEmpty || attempt == Self.attemptsMax { return examination.add(found) }
        // A running node may have rolled, sealed or removed segments, or deleted the topic, while they were looked at.
        let after = names()
        if after.isEmpty, !FileSystem.exists(directory) { return }
        if after == before, state == nil || self.state(of: after)?.segments == state?.segments {
          return examination.add(found)
        }
      }
    }

    private func names() -> [String] {
      let all = try? FileSystem.list(directory)
      return (all ?? []).filter { !$0.hasSuffix("-wal") && !$0.hasSuffix("-shm") }
    }

    private func state(of names: [String]) -> PartitionState? {
      guard let active = names.compactMap({ SegmentName(fileName: $0) }).max() else { return nil }
      var unheard = Examination()
      let isShard = TopicPartition(directoryName: name)?.topic == CoordinatorTopic.name
      return unheard.database("\(directory)/\(active.fileName)", isShard ? .coordinator : .segment) {
        (connection) throws(SQLiteError) in
        try SegmentSQL.load(connection)?.state
      } ?? nil
    }

    /// - Returns: what the active segment says, if it can be read.
    private func examineSegments(
      _ names: [String], of partition: TopicPartition, _ known: NodeImage.Partition?, into examination: inout Examination
    ) -> PartitionState? {
      for name in names where name.hasSuffix(".tmp") || name.hasSuffix(".tmp-journal") {
        examination.found(.notice("\(directory)/\(name)", "left over from an unfinished segment", remedy: Remedy.leftover))
      }
      if let fence = FenceMark.read(directory) {
        examination.found(
          .notice(
            "\(directory)/\(fence.name.fileName)",
            "fenced: a sync failed, and only what lies below offset \(fence.endOffset) is trusted; the partition takes no appends",
            remedy: "a node copies it into a new file by itself, unless damage that is named here keeps it from that"))
      }
      let segments = names.compactMap { SegmentName(fileName: $0) }.sorted()
      guard let active = segments.last else {
        // A creation that a crash cut short; the directory has been noted already.
        guard known != nil || !image.isKnown else { return nil }
        examination.found(
          Finding(directory, "the partition has no segment", remedy: "restore its directory from a copy, or delete the topic"))
        return nil
      }
      let expectation = SegmentExpectation(partition: partition, topicID: known?.topicID)
      let path = "\(directory)/\(active.fileName)"
      let outcome = SegmentExamination(path: path, name: active, expectation: expectation).examine(into: &examination)
      guard let outcome, let state = outcome.state else {
        // What the partition was is not known any more: the others are looked at each for itself.
        for name in segments.dropLast() {
          let path = "\(directory)/\(name.fileName)"
          _ = SegmentExamination(path: path, name: name, expectation: expectation).examine(into: &examination)
        }
        return nil
      }
      examineOlder(segments.dropLast(), state, expectation, into: &examination)
      judge(state, outcome, path, known, into: &examination)
      return state
    }

    private func examineOlder(
      _ found: ArraySlice<SegmentName>, _ state: PartitionState, _ expectation: SegmentExpectation,
      into examination: inout Examination
    ) {
      var wanted: Set<SegmentName> = []
      for (index, record) in state.segments.enumerated() {
        let name = SegmentName(baseOffset: record.baseOffset, generation: record.generation)
        wanted.insert(name)
        let path = "\(directory)/\(name.fileName)"
        let next = index + 1 < state.segments.count ? state.segments[index + 1].baseOffset : state.baseOffset
        if record.endOffset != next {
          let gap = record.endOffset < next ? record.endOffset...next - 1 : nil
          examination.found(
            Finding(
              path, offsets: gap, "the segment ends at \(record.endOffset) and the next one begins at \(next)",
              remedy: "restore the partition's directory from a copy"))
        }
        guard found.contains(name) else {
          examination.found(
            Finding(
              path, offsets: record.baseOffset...max(record.baseOffset, record.endOffset - 1), "the segment's file is missing",
              remedy: Remedy.skip(to: record.endOffset)))
          continue
        }
        if let seal = record.seal { examineSeal(seal, path, record, into: &examination) }
        var expectation = expectation
        expectation.record = record
        _ = SegmentExamination(path: path, name: name, expectation: expectation).examine(into: &examination)
      }
      for name in found where !wanted.contains(name) {
        examination.found(
          .notice(
            "\(directory)/\(name.fileName)", "the active segment does not name this one any more",
            remedy: Remedy.leftover))
      }
    }

    /// Sealed files are opened as immutable by everybody, so a descriptor of our own costs nobody a lock.
    private func examineSeal(
      _ seal: SegmentRecord.Seal, _ path: String, _ record: SegmentRecord, into examination: inout Examination
    ) {
      guard !FileStamp(path).hasWAL else {
        examination.found(
          .notice(
            path, "a -wal lies beside this sealed segment",
            remedy: "on a replica it is folded when the node runs; else somebody wrote to it with another program: take it away"
          ))
        return
      }
      let range = record.baseOffset...max(record.baseOffset, record.endOffset - 1)
      do throws(StorageError) {
        let actual = try FileHash.compute(path)
        guard actual != seal else { return }
        let problem =
          actual.fileBytes == seal.fileBytes
          ? "the file is not the one that was sealed: its hash differs"
          : "the file is not the one that was sealed: it has \(actual.fileBytes) bytes and had \(seal.fileBytes)"
        examination.found(
          Finding(path, offsets: range, problem, remedy: "restore it from a copy; batches not named below are intact"))
      } catch {
        examination.found(Finding(path, offsets: range, "\(error)", remedy: "check permissions and the disk"))
      }
    }

    /// The log as a whole.
    private func judge(
      _ state: PartitionState, _ outcome: SegmentExamination.Outcome, _ path: String, _ known: NodeImage.Partition?,
      into examination: inout Examination
    ) {
      let start = state.segments.first?.baseOffset ?? state.baseOffset
      let end = outcome.endOffset
      if state.logStartOffset < start || state.logStartOffset > end {
        let lost = state.logStartOffset < start ? state.logStartOffset...start - 1 : nil
        examination.found(
          Finding(
            path, offsets: lost, "the log starts at \(state.logStartOffset), outside its segments (\(start) to \(end))",
            remedy: "restore the partition's directory from a copy"))
      }
      var lastStart = Int64.min
      for epoch in state.epochs {
        if epoch.startOffset < lastStart || epoch.startOffset > end {
          examination.found(
            Finding(
              path,
              "leader epoch \(epoch.epoch) starts at \(epoch.startOffset), before the one in front of it or behind the end",
              remedy: "restore the partition's directory from a copy"))
        }
        lastStart = epoch.startOffset
      }
      if let highWatermark = known?.highWatermark, highWatermark > end {
        examination.found(
          Finding(
            path, offsets: end...highWatermark - 1,
            "the log ends at \(end), but the high watermark had reached \(highWatermark): records that were acknowledged are gone",
            remedy: "restore the partition's directory with its -wal files from a copy"))
      }
    }
  }
}

extension TopicPartition {
  /// - Parameter directoryName: `topic-partition`.
  /// - Returns: nil for any other name.
  init?(directoryName: String) {
    guard let dash = directoryName.lastIndex(of: "-") else { return nil }
    let digits = directoryName[directoryName.index(after: dash)...]
    let topic = String(directoryName[..<dash])
    guard let number = Int32(digits), number >= 0, String(number) == digits, TopicName.complaint(about: topic) == nil else {
      return nil
    }
    self.init(topic: topic, partition: number)
  }
}
