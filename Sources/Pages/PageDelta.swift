internal import Bytes

/// Ranges of a page's bytes that replace those of an older version of it.
///
/// Varint bytes to keep, varint bytes to replace (never 0), those bytes; and again, up to the end.
enum PageDelta {
  /// A range that is kept costs two bytes at least, and time at both ends: shorter ones are replaced with the ranges around them.
  private static let keptBytesMin = 8

  /// Appends the delta that leads from `old` to `new`, unless it has `limit` bytes or more: then nothing is appended.
  ///
  /// - Parameter old: nil is a page of zeros.
  static func append(
    from old: UnsafeRawBufferPointer?, to new: UnsafeRawBufferPointer, limit: Int, to bytes: inout [UInt8]
  ) -> Bool {
    let start = bytes.count
    var end = 0
    var at = nextDifference(old, new, from: 0)
    while at < new.count {
      var last = at
      var next = at + 1
      // Goes on over ranges that are too short to be kept, a word at a time where all of its bytes differ, or none.
      while next < new.count, next - last <= keptBytesMin, last - at < limit {
        let word = next + 8 <= new.count ? difference(old, new, at: next) : 1
        if word == 0 {
          next += 8
        } else if !hasZeroByte(word) {
          last = next + 7
          next += 8
        } else {
          if new[next] != (old?[next] ?? 0) { last = next }
          next += 1
        }
      }
      bytes.appendVarint(at - end)
      bytes.appendVarint(last + 1 - at)
      bytes.append(contentsOf: new[at...last])
      guard bytes.count - start < limit else {
        bytes.removeLast(bytes.count - start)
        return false
      }
      end = last + 1
      at = nextDifference(old, new, from: end)
    }
    return true
  }

  /// Whether some of a page may be zeros: of 64 words of it four are. A page of payload is not gone through for nothing.
  static func hasZeros(_ page: UnsafeRawBufferPointer) -> Bool {
    let step = max(8, page.count / 64)
    var count = 0
    for at in stride(from: 0, through: page.count - 8, by: step) where difference(nil, page, at: at) == 0 { count += 1 }
    return count >= 4
  }

  /// The first byte from `start` on that differs; the page's size if none does.
  private static func nextDifference(_ old: UnsafeRawBufferPointer?, _ new: UnsafeRawBufferPointer, from start: Int) -> Int {
    var at = start
    while at + 8 <= new.count {
      let word = difference(old, new, at: at)
      if word != 0 { return at + UInt64(littleEndian: word).trailingZeroBitCount / 8 }
      at += 8
    }
    while at < new.count, new[at] == (old?[at] ?? 0) { at += 1 }
    return at
  }

  private static func difference(_ old: UnsafeRawBufferPointer?, _ new: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
    new.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
      ^ (old?.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ?? 0)
  }

  private static func hasZeroByte(_ word: UInt64) -> Bool {
    (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0
  }

  /// Replaces the delta's ranges in `page`.
  ///
  /// - Precondition: the delta is well formed for pages of that size, as `isWellFormed` finds out.
  static func apply(_ delta: UnsafeRawBufferPointer, to page: UnsafeMutableRawBufferPointer) {
    let isComplete = forEachRange(of: delta, pageBytes: page.count) { offset, bytes in
      UnsafeMutableRawBufferPointer(rebasing: page[offset..<offset + bytes.count]).copyMemory(from: bytes)
    }
    precondition(isComplete, "a delta was checked before it is applied")
  }

  static func isWellFormed(_ delta: UnsafeRawBufferPointer, pageSize: PageSize) -> Bool {
    forEachRange(of: delta, pageBytes: pageSize.bytes) { _, _ in }
  }

  /// The delta that does what `first` and then `second` do: where both replace a byte, the second's.
  ///
  /// - Precondition: both are well formed.
  static func joined(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer, pageSize: PageSize) -> [UInt8] {
    var page = [UInt8](repeating: 0, count: pageSize.bytes)
    var ranges: [Range<Int>] = []
    page.withUnsafeMutableBytes { page in
      for delta in [first, second] {
        _ = forEachRange(of: delta, pageBytes: pageSize.bytes) { offset, bytes in
          ranges.append(offset..<offset + bytes.count)
          UnsafeMutableRawBufferPointer(rebasing: page[offset..<offset + bytes.count]).copyMemory(from: bytes)
        }
      }
    }
    ranges.sort { $0.lowerBound < $1.lowerBound }
    var joined: [UInt8] = []
    var end = 0
    var index = 0
    while index < ranges.count {
      var range = ranges[index]
      index += 1
      while index < ranges.count, ranges[index].lowerBound <= range.upperBound {
        range = range.lowerBound..<max(range.upperBound, ranges[index].upperBound)
        index += 1
      }
      joined.appendVarint(range.lowerBound - end)
      joined.appendVarint(range.count)
      joined += page[range]
      end = range.upperBound
    }
    return joined
  }

  /// - Returns: false where the delta is not well formed; ranges in front of that were given to `body`.
  private static func forEachRange(
    of delta: UnsafeRawBufferPointer, pageBytes: Int, _ body: (Int, UnsafeRawBufferPointer) -> Void
  ) -> Bool {
    var reader = ByteReader(delta)
    var end = 0
    do throws(WireError) {
      while !reader.isAtEnd {
        let kept = Int(try reader.unsignedVarint())
        let count = Int(try reader.unsignedVarint())
        guard count > 0, kept <= pageBytes - end, count <= pageBytes - end - kept else { return false }
        body(end + kept, try reader.bytes(count))
        end += kept + count
      }
      return true
    } catch { return false }
  }
}
