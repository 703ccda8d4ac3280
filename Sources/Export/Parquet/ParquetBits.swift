/// How Parquet packs small integers, on the way out.
enum ParquetBits {
  static func appendVarint(_ value: UInt64, to out: inout [UInt8]) {
    var rest = value
    while rest >= 0x80 {
      out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    out.append(UInt8(rest))
  }

  static func width(_ value: UInt64) -> Int { 64 - value.leadingZeroBitCount }

  /// Packs values of `width` bits, the lowest bit first; the last byte is filled up with zeros.
  static func pack<Value: FixedWidthInteger & UnsignedInteger>(
    _ values: UnsafeBufferPointer<Value>, padding: Int = 0, width: Int, to out: inout [UInt8]
  ) {
    if width == 0 { return }
    var bits: UInt64 = 0
    var count = 0
    func put(_ value: UInt64) {
      bits |= value << UInt64(count)
      let taken = 64 - count
      count += width
      guard count >= 64 else { return }
      out.appendLittleEndian(bits)
      count -= 64
      bits = count == 0 ? 0 : value >> UInt64(taken)
    }
    for value in values { put(UInt64(value)) }
    for _ in 0..<padding { put(0) }
    while count > 0 {
      out.append(UInt8(truncatingIfNeeded: bits))
      bits >>= 8
      count -= 8
    }
  }

  /// Appends values as runs of equal ones and groups of eight packed ones (RLE/bit-packed hybrid, Parquet's encoding 3).
  static func appendRuns<Value: FixedWidthInteger & UnsignedInteger>(
    _ values: UnsafeBufferPointer<Value>, width: Int, to out: inout [UInt8]
  ) {
    func literals(_ range: Range<Int>) {
      if range.isEmpty { return }
      let groups = (range.count + 7) / 8
      appendVarint(UInt64(groups) << 1 | 1, to: &out)
      pack(UnsafeBufferPointer(rebasing: values[range]), padding: groups * 8 - range.count, width: width, to: &out)
    }
    var start = 0
    var at = 0
    while at < values.count {
      var end = at + 1
      while end < values.count && values[end] == values[at] { end += 1 }
      if end - at >= 16 || (end == values.count && at == start) {
        literals(start..<at)
        appendVarint(UInt64(end - at) << 1, to: &out)
        var value = UInt64(values[at])
        for _ in 0..<(width + 7) / 8 {
          out.append(UInt8(truncatingIfNeeded: value))
          value >>= 8
        }
        at = end
        start = at
      } else {
        at += min(8, values.count - at)
      }
    }
    literals(start..<values.count)
  }

  private static let deltaBlock = 128
  private static let deltaMiniblocks = 4

  /// Appends integers as packed differences (DELTA_BINARY_PACKED, Parquet's encoding 5): offsets cost next to nothing.
  static func appendDeltas(_ values: UnsafeBufferPointer<Int64>, to out: inout [UInt8]) {
    appendVarint(UInt64(deltaBlock), to: &out)
    appendVarint(UInt64(deltaMiniblocks), to: &out)
    appendVarint(UInt64(values.count), to: &out)
    appendVarint(zigzag(values.first ?? 0), to: &out)
    var deltas: [UInt64] = []
    deltas.reserveCapacity(deltaBlock)
    var at = 1
    while at < values.count {
      let end = min(values.count, at + deltaBlock)
      deltas.removeAll(keepingCapacity: true)
      var least = Int64.max
      for index in at..<end {
        let delta = values[index] &- values[index - 1]
        deltas.append(UInt64(bitPattern: delta))
        least = min(least, delta)
      }
      for index in deltas.indices { deltas[index] = deltas[index] &- UInt64(bitPattern: least) }
      appendVarint(zigzag(least), to: &out)
      let each = deltaBlock / deltaMiniblocks
      deltas.withUnsafeBufferPointer { deltas in
        let miniblocks = (0..<deltaMiniblocks).map { number in
          UnsafeBufferPointer(rebasing: deltas[min(deltas.count, number * each)..<min(deltas.count, (number + 1) * each)])
        }
        let widths = miniblocks.map { width($0.max() ?? 0) }
        for width in widths { out.append(UInt8(width)) }
        for (miniblock, width) in zip(miniblocks, widths) where !miniblock.isEmpty {
          pack(miniblock, padding: each - miniblock.count, width: width, to: &out)
        }
      }
      at = end
    }
  }

  static func zigzag(_ value: Int64) -> UInt64 { UInt64(bitPattern: value << 1 ^ value >> 63) }
  static func unzigzag(_ value: UInt64) -> Int64 { Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1) }
}
