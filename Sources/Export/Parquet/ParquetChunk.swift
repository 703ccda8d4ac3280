/// Writes one column of a row group: its pages, and what the footer says of them.
struct ParquetChunk {
  /// Bytes of values of a page, about. A larger value has a page for itself.
  private static let pageBytes = 1 << 20
  /// Values of a page at most.
  private static let pageValues = 1 << 16

  private let column: ParquetColumn
  private let compressor: ZstdCompressor
  private var page: [UInt8] = []
  private var compressed: [UInt8] = []
  private let put: ([UInt8]) throws(ExportError) -> Void
  private var hasDictionary = false
  private var dictionaryBytes = 0
  /// With the headers of the pages.
  private(set) var uncompressedBytes = 0
  private(set) var compressedBytes = 0

  /// - Parameter put: gets the chunk, page by page.
  init(
    _ column: ParquetColumn, _ compressor: ZstdCompressor, put: @escaping ([UInt8]) throws(ExportError) -> Void
  ) throws(ExportError) {
    self.column = column
    self.compressor = compressor
    self.put = put
    let dictionary = column.leaf.type == ParquetType.byteArray ? ParquetDictionary(column) : nil
    if let dictionary { try writeDictionary(dictionary) }
    dictionaryBytes = compressedBytes
    hasDictionary = dictionary != nil
    try writePages(dictionary)
  }

  private var encoding: Int {
    if hasDictionary { return ParquetEncoding.rleDictionary }
    return column.leaf.type == ParquetType.int64 ? ParquetEncoding.deltaBinaryPacked : ParquetEncoding.plain
  }

  private mutating func writeDictionary(_ dictionary: ParquetDictionary) throws(ExportError) {
    page.removeAll(keepingCapacity: true)
    for first in dictionary.firsts { appendPlain(first) }
    try writePage(type: ParquetPage.dictionary) { thrift in
      thrift.structure(7) { thrift in
        thrift.i32(1, dictionary.firsts.count)
        thrift.i32(2, ParquetEncoding.plain)
      }
    }
  }

  private mutating func appendPlain(_ index: Int) {
    let start = column.start(of: index)
    page.appendLittleEndian(UInt32(column.ends[index] - start))
    page.append(contentsOf: column.bytes[start..<column.ends[index]])
  }

  private mutating func writePages(_ dictionary: ParquetDictionary?) throws(ExportError) {
    var level = 0
    var value = 0
    while level < column.count {
      let (levels, values) = nextPage(level, value, isDictionary: dictionary != nil)
      page.removeAll(keepingCapacity: true)
      if column.leaf.repetitionMax > 0 { appendLevels(column.repetitions, levels, max: column.leaf.repetitionMax) }
      if column.leaf.definitionMax > 0 { appendLevels(column.definitions, levels, max: column.leaf.definitionMax) }
      if let dictionary {
        page.append(UInt8(dictionary.width))
        dictionary.indices.withUnsafeBufferPointer {
          ParquetBits.appendRuns(UnsafeBufferPointer(rebasing: $0[values]), width: dictionary.width, to: &page)
        }
      } else {
        appendValues(values)
      }
      let encoding = encoding
      try writePage(type: ParquetPage.data) { thrift in
        thrift.structure(5) { thrift in
          thrift.i32(1, levels.count)
          thrift.i32(2, encoding)
          thrift.i32(3, ParquetEncoding.rle)
          thrift.i32(4, ParquetEncoding.rle)
        }
      }
      level = levels.upperBound
      value = values.upperBound
    }
  }

  /// What the next page holds; it ends with a row.
  private func nextPage(_ level: Int, _ value: Int, isDictionary: Bool) -> (levels: Range<Int>, values: Range<Int>) {
    let leaf = column.leaf
    let isBytes = leaf.type == ParquetType.byteArray && !isDictionary
    let limit = isBytes ? (value == 0 ? 0 : column.ends[value - 1]) + Self.pageBytes : 0
    if leaf.definitionMax == 0 && !isBytes {
      let end = min(column.count, level + Self.pageValues)
      return (level..<end, value..<value + end - level)
    }
    var end = level
    var last = value
    while end < column.count {
      let isRowStart = leaf.repetitionMax == 0 || column.repetitions[end] == 0
      if isRowStart && end > level {
        if end - level >= Self.pageValues { break }
        if isBytes && last < column.ends.count && last > value && column.ends[last] > limit { break }
      }
      if leaf.definitionMax == 0 || column.definitions[end] == leaf.definitionMax { last += 1 }
      end += 1
    }
    return (level..<end, value..<last)
  }

  private mutating func appendLevels(_ levels: [UInt8], _ range: Range<Int>, max: UInt8) {
    let at = page.count
    page.appendLittleEndian(0 as UInt32)
    levels.withUnsafeBufferPointer {
      ParquetBits.appendRuns(UnsafeBufferPointer(rebasing: $0[range]), width: ParquetBits.width(UInt64(max)), to: &page)
    }
    let count = UInt32(page.count - at - 4).littleEndian
    page.withUnsafeMutableBytes { $0.storeBytes(of: count, toByteOffset: at, as: UInt32.self) }
  }

  private mutating func appendValues(_ range: Range<Int>) {
    switch column.leaf.type {
    case ParquetType.int32: for value in column.integers[range] { page.appendLittleEndian(Int32(truncatingIfNeeded: value)) }
    case ParquetType.int64:
      column.integers.withUnsafeBufferPointer {
        ParquetBits.appendDeltas(UnsafeBufferPointer(rebasing: $0[range]), to: &page)
      }
    case ParquetType.double: for bits in column.integers[range] { page.appendLittleEndian(bits) }
    case ParquetType.boolean:
      for start in stride(from: range.lowerBound, to: range.upperBound, by: 8) {
        var byte: UInt8 = 0
        for index in start..<min(start + 8, range.upperBound) where column.integers[index] != 0 {
          byte |= 1 << UInt8(index - start)
        }
        page.append(byte)
      }
    default: for index in range { appendPlain(index) }
    }
  }

  private mutating func writePage(type: Int, _ head: (inout ThriftWriter) -> Void) throws(ExportError) {
    guard page.count <= Int(Int32.max) else { throw .record("a value of \(page.count) bytes is too large for Parquet") }
    try compressor.compress(page, into: &compressed)
    var thrift = ThriftWriter()
    thrift.i32(1, type)
    thrift.i32(2, page.count)
    thrift.i32(3, compressed.count)
    head(&thrift)
    let header = thrift.bytes + [0]
    try put(header)
    try put(compressed)
    uncompressedBytes += header.count + page.count
    compressedBytes += header.count + compressed.count
  }

  /// Appends the structure ColumnChunk.
  ///
  /// - Parameter start: where the chunk is in the file.
  func describe(at start: Int64, to thrift: inout ThriftWriter) {
    thrift.i64(2, 0)
    thrift.structure(3) { thrift in
      thrift.i32(1, column.leaf.type)
      let encodings =
        [encoding] + (hasDictionary ? [ParquetEncoding.plain] : [])
        + (column.leaf.definitionMax > 0 ? [ParquetEncoding.rle] : [])
      thrift.list(2, .i32, count: encodings.count)
      for encoding in encodings { thrift.element(encoding) }
      thrift.list(3, .binary, count: column.leaf.path.count)
      for name in column.leaf.path { thrift.element(name) }
      thrift.i32(4, ParquetCodec.zstd)
      thrift.i64(5, Int64(column.count))
      thrift.i64(6, Int64(uncompressedBytes))
      thrift.i64(7, Int64(compressedBytes))
      thrift.i64(9, start + Int64(dictionaryBytes))
      if hasDictionary { thrift.i64(11, start) }
      thrift.structure(12) { thrift in
        thrift.i64(3, Int64(column.count - column.valueCount))
        guard let bounds = column.bounds else { return }
        thrift.binary(5, bounds.high)
        thrift.binary(6, bounds.low)
      }
    }
  }
}
