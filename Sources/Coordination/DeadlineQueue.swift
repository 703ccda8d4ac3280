import Model

/// Which group wants to be woken when. A group's deadline moves with every heartbeat, nearly always to later: then the
/// entry there is stays, and the group is asked again when that comes.
struct DeadlineQueue: Sendable {
  private struct Entry: Sendable {
    var deadline: TimestampMilliseconds
    var groupID: String
  }
  /// A binary heap, the earliest first.
  private var heap: [Entry] = []
  /// The entry that counts for a group; earlier pushed ones are passed over.
  private var current: [String: TimestampMilliseconds] = [:]

  var earliest: TimestampMilliseconds? { heap.first?.deadline }

  /// The group has nothing to do before `deadline`.
  mutating func note(_ deadline: TimestampMilliseconds?, of groupID: String) {
    guard let deadline else {
      current[groupID] = nil
      return
    }
    if let known = current[groupID], known <= deadline { return }
    current[groupID] = deadline
    heap.append(Entry(deadline: deadline, groupID: groupID))
    var child = heap.count - 1
    while child > 0, heap[child].deadline < heap[(child - 1) / 2].deadline {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// Takes out a group whose deadline has come; the caller notes its next one.
  mutating func next(dueBy now: TimestampMilliseconds) -> String? {
    while let first = heap.first, first.deadline <= now {
      removeFirst()
      guard current[first.groupID] == first.deadline else { continue }
      current[first.groupID] = nil
      return first.groupID
    }
    return nil
  }

  private mutating func removeFirst() {
    let last = heap.removeLast()
    guard !heap.isEmpty else { return }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child].deadline < heap[least].deadline { least = child }
      if least == parent { return }
      heap.swapAt(parent, least)
      parent = least
    }
  }
}
