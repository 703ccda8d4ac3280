public import Model

/// Codec of a batch's records section (attributes, bits 0-2), with Kafka's numbers.
public enum Compression: Int8, Sendable, CaseIterable {
  case none = 0
  case gzip = 1
  case snappy = 2
  case lz4 = 3
  case zstd = 4
}

extension Compression {
  /// The codec that `policy` asks for; nil where it leaves the producer's (`compression.type=producer`).
  public init?(_ policy: CompressionPolicy) {
    switch policy {
    case .producer: return nil
    case .uncompressed: self = .none
    case .gzip: self = .gzip
    case .snappy: self = .snappy
    case .lz4: self = .lz4
    case .zstd: self = .zstd
    }
  }
}

extension Compression: CustomStringConvertible {
  public var description: String {
    switch self {
    case .none: "none"
    case .gzip: "gzip"
    case .snappy: "snappy"
    case .lz4: "lz4"
    case .zstd: "zstd"
    }
  }
}
