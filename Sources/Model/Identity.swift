/// A broker's number in its cluster (`node.id`).
public struct NodeID: RawRepresentable, Hashable, Comparable, Sendable {
  public var rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  public init(_ rawValue: Int32) { self.rawValue = rawValue }
  public static func < (a: NodeID, b: NodeID) -> Bool { a.rawValue < b.rawValue }
}

extension NodeID: CustomStringConvertible {
  public var description: String { String(rawValue) }
}

/// UUID of a topic; tells a topic from a later one with the same name (KIP-516).
public struct TopicID: Hashable, Sendable {
  /// The sixteen bytes as two big-endian words, in the order they travel.
  public var high: UInt64
  public var low: UInt64

  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// "No id": what the wire carries where a name is given instead.
  public static let zero = TopicID(high: 0, low: 0)
  /// Kafka reserves this one for its own metadata topic.
  static let one = TopicID(high: 0, low: 1)

  /// A version 4 UUID that is neither of Kafka's reserved ids and whose text does not begin with a dash
  /// (a command line would take that for an option), as Kafka's own `Uuid.randomUuid` promises.
  ///
  /// - Parameter entropy: returns 64 random bits a call; called again until the id is acceptable.
  public static func random(entropy: () -> UInt64) -> TopicID {
    while true {
      let high = (entropy() & ~0xF000) | 0x4000
      let low = (entropy() & ~(0xC0 << 56)) | (0x80 << 56)
      let id = TopicID(high: high, low: low)
      if id != .zero, id != .one, !id.description.hasPrefix("-") { return id }
    }
  }

  /// The sixteen bytes, most significant first.
  public var bytes: [UInt8] {
    (0..<16).map { i in UInt8(truncatingIfNeeded: (i < 8 ? high : low) >> (UInt64(7 - i % 8) * 8)) }
  }

  /// - Returns: nil unless there are exactly sixteen bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    var words: [UInt64] = [0, 0]
    for (i, byte) in bytes.enumerated() { words[i / 8] = words[i / 8] << 8 | UInt64(byte) }
    self.init(high: words[0], low: words[1])
  }
}

extension TopicID {
  /// The id that `description` wrote.
  ///
  /// - Returns: nil for anything else.
  public init?(text: String) {
    guard text.utf8.count == 22 else { return nil }
    var bytes: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount = 0
    for character in text.utf8 {
      guard let digit = Self.alphabet.firstIndex(of: character) else { return nil }
      bits = bits << 6 | UInt32(digit)
      bitCount += 6
      if bitCount >= 8 {
        bitCount -= 8
        bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(bitCount)))
      }
    }
    guard bits & 15 == 0 else { return nil }
    self.init(bytes: bytes)
  }
}

extension TopicID: CustomStringConvertible {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

  /// Kafka's text form: URL-safe base64 without padding, 22 characters.
  public var description: String {
    var text: [UInt8] = []
    var bits: UInt32 = 0
    var bitCount = 0
    for byte in bytes {
      bits = bits << 8 | UInt32(byte)
      bitCount += 8
      while bitCount >= 6 {
        bitCount -= 6
        text.append(Self.alphabet[Int(bits >> UInt32(bitCount) & 63)])
      }
    }
    text.append(Self.alphabet[Int(bits << UInt32(6 - bitCount) & 63)])
    return String(decoding: text, as: UTF8.self)
  }
}

/// One partition of one topic, by name.
public struct TopicPartition: Hashable, Comparable, Sendable {
  public var topic: String
  public var partition: Int32
  public init(topic: String, partition: Int32) {
    self.topic = topic
    self.partition = partition
  }
  public static func < (a: TopicPartition, b: TopicPartition) -> Bool {
    a.topic == b.topic ? a.partition < b.partition : a.topic < b.topic
  }
}

extension TopicPartition: CustomStringConvertible {
  /// `topic-partition`, the name of the partition's directory.
  public var description: String { "\(topic)-\(partition)" }
}

/// Kafka's rule for topic names.
public enum TopicName {
  public static let lengthMax = 249

  /// Nil if `name` is legal: 1 to 249 of `[a-zA-Z0-9._-]`, and not `.` or `..`; else what is wrong with it.
  public static func complaint(about name: String) -> String? {
    if name.isEmpty { return "the topic name is empty" }
    if name == "." || name == ".." { return "a topic cannot be named '\(name)'" }
    if name.utf8.count > lengthMax { return "the topic name is longer than \(lengthMax) characters" }
    let legal = name.utf8.allSatisfy {
      ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || $0 == 0x2E || $0 == 0x5F
        || $0 == 0x2D
    }
    return legal ? nil : "the topic name '\(name)' has characters other than ASCII letters, digits, '.', '_' and '-'"
  }
}
