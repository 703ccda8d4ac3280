internal import Model

// Partitions with followers that must have what is appended.

extension StorageLane {
  func noteReplicated(_ change: Int) { replicatedCount += change }

  /// What of a group can be answered now, with what has waited for it; the rest waits for followers.
  func replicated(_ answered: [AppendRequest], _ committed: [PartitionWriter]) -> [AppendRequest] {
    var ready = committed.flatMap { writer in
      writer.replicas?.takeReplicated(inSyncMin: Int(writer.configuration.minInSyncReplicas)) ?? []
    }
    for request in answered {
      if let writer = loadedWriter(of: request.partition), let replicas = writer.replicas, replicas.keeps(request) {
        watch(writer)
      } else {
        ready.append(request)
      }
    }
    return ready
  }

  func hear(_ words: [FollowerWord]) {
    var moved: [PartitionWriter] = []
    for word in words {
      if let writer = loadedWriter(of: word.log), writer.hear(word), moved.last !== writer { moved.append(writer) }
    }
    guard !moved.isEmpty else { return }
    store.highWatermarksMoved(of: moved.map(\.log))
    for writer in moved { writer.answerReplicated() }
  }

  /// Time has passed for those that have followers.
  func tickReplicas() {
    guard replicatedCount > 0 else { return }
    for writer in writers.values { writer.tickReplicas() }
  }

  /// A node's session with the cluster began or ended.
  func noteSession(of node: NodeID, isAlive: Bool) {
    guard replicatedCount > 0 else { return }
    for writer in writers.values { writer.noteSession(of: node, isAlive: isAlive) }
  }
}
