/// What the one record of a control batch says (KIP-98); its key is two int16: version and type.
public enum ControlRecord: Hashable, Sendable {
  case abort
  case commit
  /// A marker of a kind that is not a transaction's end.
  case other(type: Int16)

  /// - Returns: nil if `key` is too short to be a control record's.
  public init?(key: UnsafeRawBufferPointer?) {
    guard let key, key.count >= 4 else { return nil }
    switch Int16(bigEndian: key.loadUnaligned(fromByteOffset: 2, as: Int16.self)) {
    case 0: self = .abort
    case 1: self = .commit
    case let type: self = .other(type: type)
    }
  }
}
