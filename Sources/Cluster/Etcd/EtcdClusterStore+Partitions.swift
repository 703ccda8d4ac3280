public import Metadata
internal import Model

extension EtcdClusterStore {
  public func changePartitions(_ changes: [PartitionChange]) async throws(ClusterError) -> [Bool] {
    var isMade = Array(repeating: false, count: changes.count)
    var left = Array(changes.indices)
    for attempt in 0..<Self.attemptsMax {
      let image = image
      left.removeAll { !isAsExpected(changes[$0], image) }
      guard !left.isEmpty else { return isMade }
      var lost: [Int] = []
      for start in stride(from: 0, to: left.count, by: Self.operationsPerTransaction) {
        let batch = Array(left[start..<min(start + Self.operationsPerTransaction, left.count)])
        if try await change(batch.map { changes[$0] }) {
          for index in batch { isMade[index] = true }
        } else {
          lost += batch
        }
      }
      left = lost
      if left.isEmpty { return isMade }
      // One of a batch was changed by another node: it drops out, and the rest is tried again, once the image shows which one it was.
      try await seeWhatIsThere()
      if attempt > 2 { try? await Task.sleep(nanoseconds: 10_000_000) }
    }
    throw ClusterError(.requestTimedOut, "the cluster is being changed by others all the time; try again")
  }

  private func isAsExpected(_ change: PartitionChange, _ image: ClusterImage) -> Bool {
    image.topic(change.topicID)?.partition(change.partition) == change.expected
  }

  /// One transaction for all of these.
  ///
  /// - Returns: false when none was made, because one of them is not as expected any more.
  private func change(_ changes: [PartitionChange]) async throws(ClusterError) -> Bool {
    var conditions: [EtcdCondition] = []
    var operations: [EtcdOperation] = []
    for change in changes {
      let key = self.keys.partition(Int(change.partition), of: change.topicID)
      conditions.append(.unchanged(key, modRevision: change.expected.version))
      operations.append(.put(key, recordBytes(PartitionRecord(change.next))))
    }
    let revision = try await commit(if: conditions, operations) { keys in
      changes.allSatisfy { keys.image.topic($0.topicID)?.partition($0.partition)?.isDecided(as: $0.next) == true }
    }
    guard let revision else { return false }
    try await see(revision)
    return true
  }

  /// Waits until the image has everything that is in etcd at this moment.
  func seeWhatIsThere() async throws(ClusterError) {
    let revision: Int64
    do throws(EtcdError) { revision = try await client.entries(withPrefix: keys.cluster).revision } catch {
      throw ClusterError(.brokerNotAvailable, error.description)
    }
    try await see(revision)
  }

  public func takeProducerIDs(count: Int64) async throws(ClusterError) -> Range<Int64> {
    precondition(count > 0, "no producer ids asked for")
    let key = keys.producerIDs
    for _ in 0..<Self.attemptsMax {
      let keys = seen()
      let first = keys.nextProducerID
      let condition = EtcdCondition.unchanged(key, modRevision: keys.modRevision(of: key))
      // Where etcd does not say whether these are ours, they are nobody's.
      let next = recordBytes(ProducerIDsRecord(next: first + count))
      if let revision = try await commit(if: [condition], [.put(key, next)], wasMade: { _ in false }) {
        await hasSeen(revision)
        return first..<first + count
      }
      try await seeWhatIsThere()
    }
    throw ClusterError(.requestTimedOut, "the cluster is being changed by others all the time; try again")
  }
}
