internal import Model
internal import Records
internal import Synchronization

extension LogStore {
  /// Acknowledges appends and keeps nothing of them: the other side of the comparison in `tools/bench`.
  ///
  /// Offsets only count up, over all partitions together.
  func discard(_ requests: [AppendRequest]) {
    var groups: [ObjectIdentifier: (receiver: any AppendReceiver, requests: [AppendRequest])] = [:]
    for request in requests {
      let records = request.batches.reduce(0) { $0 + Int64($1.header.recordCount) }
      let end = shared.discardedRecords.add(records, ordering: .relaxed).newValue
      request.outcome = .appended(baseOffset: Offset(end - records), logAppendTime: -1, logStartOffset: .zero)
      request.releaseRecords()
      groups[ObjectIdentifier(request.receiver), default: (request.receiver, [])].requests.append(request)
    }
    for group in groups.values { group.receiver.appendsCompleted(group.requests) }
  }
}
