/// The little that a coordinator reads of the consumer's embedded protocol (KIP-429's `ConsumerProtocolSubscription`):
/// the topics a member subscribes to.
enum ConsumerProtocol {
  static let type = "consumer"

  /// Layout, big-endian: version int16, count int32, then `count` topic names, each int16 length and UTF-8.
  /// What follows (user data, owned partitions, generation, rack) does not concern the coordinator.
  ///
  /// - Returns: nil if the bytes are not a subscription.
  static func topics(inSubscription metadata: [UInt8]) -> [String]? {
    var position = 0
    func integer(_ byteCount: Int) -> Int? {
      guard metadata.count - position >= byteCount else { return nil }
      var value = 0
      for byte in metadata[position..<position + byteCount] { value = value << 8 | Int(byte) }
      position += byteCount
      return value
    }
    // Every name takes at least its length: a count that cannot fit is refused before anything is reserved.
    guard let version = integer(2), version < 0x8000, let count = integer(4),
      count <= (metadata.count - position) / 2
    else { return nil }
    var topics: [String] = []
    topics.reserveCapacity(count)
    for _ in 0..<count {
      guard let length = integer(2), length <= metadata.count - position else { return nil }
      guard let name = String(validating: metadata[position..<position + length], as: UTF8.self) else { return nil }
      topics.append(name)
      position += length
    }
    return topics
  }
}
