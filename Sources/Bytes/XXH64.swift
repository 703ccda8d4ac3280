internal import CCodecs

/// XXH64 with seed 0: finds damage in files, is no protection against somebody who wants a collision.
public struct XXH64 {
  private var state = ccodecs_xxh64()

  public init() { ccodecs_xxh64_begin(&state) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    ccodecs_xxh64_update(&state, start, bytes.count)
  }

  /// The hash of what has been given so far.
  public var value: UInt64 {
    var copy = state
    return ccodecs_xxh64_end(&copy)
  }
}
