/// The values of one column of a row group, collected until the group is written.
struct ParquetColumn {
  let leaf: ParquetSchema.Leaf
  /// For each value or null, where the column can have any: how much of its path is there, and 0 for the first of a row.
  private(set) var definitions: [UInt8] = []
  private(set) var repetitions: [UInt8] = []
  /// Values and nulls so far.
  private(set) var count = 0
  /// The values of a column of numbers: those of doubles by their bits, of booleans 0 and 1.
  private(set) var integers: [Int64] = []
  private(set) var bytes: [UInt8] = []
  /// Where each value of `bytes` ends.
  private(set) var ends: [Int] = []

  /// What is not used of it costs addresses only. Growing by doubling had three times a group's bytes in memory, and as allocations of
  /// more than 32 MiB these go back to the system at once when the group is written.
  private static let bytesReserved = ParquetWriter.groupBytes + 1 << 20

  init(_ leaf: ParquetSchema.Leaf) { self.leaf = leaf }

  var valueCount: Int { leaf.type == ParquetType.byteArray ? ends.count : integers.count }

  private mutating func level(_ definition: UInt8, _ repetition: UInt8) {
    count += 1
    if leaf.definitionMax > 0 { definitions.append(definition) }
    if leaf.repetitionMax > 0 { repetitions.append(repetition) }
  }

  /// A null, or an empty list, as `definition` says.
  mutating func appendNull(definition: UInt8 = 0, repetition: UInt8 = 0) { level(definition, repetition) }

  mutating func append(_ value: Int64) {
    level(leaf.definitionMax, 0)
    integers.append(value)
  }

  mutating func append(_ value: UnsafeRawBufferPointer, repetition: UInt8 = 0) {
    level(leaf.definitionMax, repetition)
    if bytes.isEmpty { bytes.reserveCapacity(Self.bytesReserved) }
    bytes.append(contentsOf: value)
    ends.append(bytes.count)
  }

  func start(of index: Int) -> Int { index == 0 ? 0 : ends[index - 1] }

  // Statistics

  /// Values longer than this get no bounds: they would be in the footer of every reader.
  private static let boundBytesMax = 64

  /// The least and the greatest value as PLAIN bytes; nil where there are none, or they are long.
  var bounds: (low: [UInt8], high: [UInt8])? {
    guard leaf.type == ParquetType.byteArray else {
      if leaf.type == ParquetType.double { return realBounds }
      guard let low = integers.min(), let high = integers.max() else { return nil }
      return (Self.plain(low, leaf.type), Self.plain(high, leaf.type))
    }
    guard !ends.isEmpty else { return nil }
    return bytes.withUnsafeBytes { bytes in
      var low = 0
      var high = 0
      func value(_ index: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[start(of: index)..<ends[index]])
      }
      for index in 0..<ends.count {
        let next = value(index)
        if next.count > Self.boundBytesMax { return nil }
        if Self.precedes(next, value(low)) { low = index }
        if Self.precedes(value(high), next) { high = index }
      }
      return (Array(value(low)), Array(value(high)))
    }
  }

  private var realBounds: (low: [UInt8], high: [UInt8])? {
    guard !integers.isEmpty else { return nil }
    var low = Double.infinity
    var high = -Double.infinity
    for bits in integers {
      let value = Double(bitPattern: UInt64(bitPattern: bits))
      // There is none in SQL; bounds would not be any.
      if value.isNaN { return nil }
      low = min(low, value)
      high = max(high, value)
    }
    // Readers tell the two zeros apart: the bounds are around both.
    if low == 0 { low = -0.0 }
    if high == 0 { high = 0.0 }
    return (
      Self.plain(Int64(bitPattern: low.bitPattern), leaf.type), Self.plain(Int64(bitPattern: high.bitPattern), leaf.type)
    )
  }

  private static func precedes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    for (x, y) in zip(a, b) where x != y { return x < y }
    return a.count < b.count
  }

  private static func plain(_ value: Int64, _ type: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    switch type {
    case ParquetType.boolean: bytes.append(value == 0 ? 0 : 1)
    case ParquetType.int32: bytes.appendLittleEndian(Int32(truncatingIfNeeded: value))
    default: bytes.appendLittleEndian(value)
    }
    return bytes
  }
}

/// The distinct values of a column, where they are few.
struct ParquetDictionary {
  /// Beyond these a dictionary is of no use: it would be read whole for every query.
  private static let valuesMax = 1 << 16
  private static let bytesMax = 1 << 20

  /// Positions in the column of the first of each.
  private(set) var firsts: [Int] = []
  /// For each value of the column its place in `firsts`.
  private(set) var indices: [UInt32] = []

  /// Nil if there are too many, or they repeat too little.
  init?(_ column: ParquetColumn) {
    let count = column.ends.count
    guard count > 1 else { return nil }
    indices.reserveCapacity(count)
    // A power of two; at most half of the slots get filled.
    var slots = [UInt32](repeating: .max, count: 2 * Self.valuesMax)
    var distinctBytes = 0
    let isUseful = column.bytes.withUnsafeBytes { bytes in
      slots.withUnsafeMutableBufferPointer { slots in
        var start = 0
        for index in 0..<count {
          let value = UnsafeRawBufferPointer(rebasing: bytes[start..<column.ends[index]])
          start = column.ends[index]
          var slot = Int(truncatingIfNeeded: Self.hash(value)) & (slots.count - 1)
          while true {
            let known = slots[slot]
            if known == .max {
              distinctBytes += value.count + 4
              if firsts.count == Self.valuesMax || distinctBytes > Self.bytesMax { return false }
              slots[slot] = UInt32(firsts.count)
              indices.append(UInt32(firsts.count))
              firsts.append(index)
              break
            }
            let first = firsts[Int(known)]
            let same = UnsafeRawBufferPointer(rebasing: bytes[column.start(of: first)..<column.ends[first]])
            if Self.isEqual(same, value) {
              indices.append(known)
              break
            }
            slot = (slot + 1) & (slots.count - 1)
          }
        }
        return firsts.count <= count / 2
      }
    }
    if !isUseful { return nil }
  }

  @inline(__always)
  private static func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    a.count == b.count && a.elementsEqual(b)
  }

  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash = UInt64(bytes.count) &* 0x9E37_79B9_7F4A_7C15
    var at = 0
    while bytes.count - at >= 8 {
      hash = mix(hash ^ bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      at += 8
    }
    var rest: UInt64 = 0
    while at < bytes.count {
      rest = rest << 8 | UInt64(bytes[at])
      at += 1
    }
    return mix(hash ^ rest)
  }

  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
    return product.high ^ product.low
  }

  /// Bits of an index.
  var width: Int { max(1, ParquetBits.width(UInt64(firsts.count - 1))) }
}
