protocol MergeMember {
  /// Comes before `other` in the merged order. Never true both ways.
  func precedes(_ other: Self) -> Bool
}

/// A binary heap whose first member precedes all others.
struct MergeHeap<Member: MergeMember> {
  private var members: [Member] = []

  var isEmpty: Bool { members.isEmpty }
  var first: Member? { members.first }
  mutating func removeAll() { members.removeAll(keepingCapacity: true) }

  mutating func insert(_ member: Member) {
    members.append(member)
    var child = members.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard members[child].precedes(members[parent]) else { return }
      members.swapAt(child, parent)
      child = parent
    }
  }

  mutating func popFirst() -> Member? {
    guard let first = members.first, let last = members.popLast() else { return nil }
    if members.isEmpty { return first }
    members[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < members.count {
        if members[child].precedes(members[least]) { least = child }
      }
      if least == parent { return first }
      members.swapAt(parent, least)
      parent = least
    }
  }
}
