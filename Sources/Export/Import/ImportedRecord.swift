/// A record that comes back. What an export says about where it was stored (topic, offset) is not in it.
public struct ImportedRecord: Equatable, Sendable {
  public struct Header: Equatable, Sendable {
    public var name: String
    public var value: [UInt8]?

    public init(name: String, value: [UInt8]?) {
      self.name = name
      self.value = value
    }
  }

  /// The partition that it was in.
  public var partition: Int32?
  /// Milliseconds; nil: none is given.
  public var timestamp: Int64?
  public var key: [UInt8]?
  public var value: [UInt8]?
  public var headers: [Header] = []

  public init(
    partition: Int32? = nil, timestamp: Int64? = nil, key: [UInt8]? = nil, value: [UInt8]? = nil, headers: [Header] = []
  ) {
    self.partition = partition
    self.timestamp = timestamp
    self.key = key
    self.value = value
    self.headers = headers
  }
}
