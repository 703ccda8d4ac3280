/// How far a statement that is followed has come: the next offset of each partition, as text that a client can hand back.
///
/// `TOPIC_ID~OFFSET.OFFSET.…`, by partition from 0 on, in base 36; `-` for a partition that is not followed.
public struct FollowPosition: Sendable, Hashable {
  var topicID: String
  /// By partition. `.max`: not followed.
  var next: [Int32: Int64]

  init(topicID: String, next: [Int32: Int64]) {
    self.topicID = topicID
    self.next = next
  }

  /// - Returns: nil for a text that is none.
  public init?(_ text: String) {
    let parts = text.split(separator: "~", omittingEmptySubsequences: false)
    guard parts.count == 2, text.utf8.count <= 1 << 20 else { return nil }
    topicID = String(parts[0])
    next = [:]
    for (partition, digits) in parts[1].split(separator: ".").enumerated() {
      if digits == "-" {
        next[Int32(partition)] = .max
      } else {
        guard let offset = Int64(digits, radix: 36), offset >= 0 else { return nil }
        next[Int32(partition)] = offset
      }
    }
  }

  public var text: String {
    let last = next.keys.max() ?? -1
    let offsets = (0..<(last + 1)).map { partition in
      let offset = next[partition] ?? 0
      return offset == .max ? "-" : String(offset, radix: 36)
    }
    return "\(topicID)~\(offsets.joined(separator: "."))"
  }
}

/// Where following begins.
public enum FollowStart: Sendable, Hashable {
  case bound(RangeBound)
  /// Where another one was.
  case position(FollowPosition)
}
