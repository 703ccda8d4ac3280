/// Reads the values of one column chunk in their order; one page is in memory.
final class ParquetColumnReader {
  /// Where the bytes come from.
  struct Source {
    let size: Int64
    let read: (_ at: Int64, _ count: Int) throws(ParquetError) -> [UInt8]
  }

  /// One entry of the column: a value, or how much of its path is there.
  struct Entry {
    var definition: Int
    var isValue: Bool
  }

  /// A page with more is not read: no writer makes such, and a few bytes could claim any number.
  static let pageBytesMax = 256 << 20

  private enum Values {
    case none
    case plain(position: Int)
    case deltas(DeltaDecoder)
    case indices(RunDecoder)
  }

  let leaf: ParquetFooter.Leaf
  private let chunk: ParquetFooter.Chunk
  private let source: Source
  private let decompressor: PageDecompressor
  private let pageBytesMax: Int
  /// Of the next page.
  private var position: Int64
  private let end: Int64
  /// Entries of the chunk and of the page that are still to come.
  private var chunkRemaining: Int64
  private var pageRemaining = 0
  private var page = PageBytes([])
  private var pageEnd = 0
  private var repetitions: RunDecoder?
  private var definitions: RunDecoder?
  private var values = Values.none
  private var dictionary: (page: PageBytes, ends: [(start: Int, end: Int)], integers: [Int64])?
  private var pendingRepetition: Int?

  /// What `next` has found.
  private(set) var integer: Int64 = 0
  private var slice: (page: PageBytes, start: Int, end: Int) = (PageBytes([]), 0, 0)
  var bytes: [UInt8] { Array(slice.page.bytes[slice.start..<slice.end]) }

  init(
    _ leaf: ParquetFooter.Leaf, _ chunk: ParquetFooter.Chunk, _ source: Source, _ decompressor: PageDecompressor,
    pageBytesMax: Int
  ) throws(ParquetError) {
    self.leaf = leaf
    self.chunk = chunk
    self.source = source
    self.decompressor = decompressor
    self.pageBytesMax = pageBytesMax
    position = chunk.start
    let (end, overflow) = chunk.start.addingReportingOverflow(chunk.compressedBytes)
    guard chunk.type == leaf.type, chunk.start >= 0, chunk.compressedBytes >= 0, !overflow, end <= source.size,
      chunk.valueCount >= 0
    else { throw .damaged }
    self.end = end
    chunkRemaining = chunk.valueCount
  }

  private var name: String { leaf.path.joined(separator: ".") }

  /// The repetition level of the next entry; nil behind the last of the chunk.
  func nextRepetition() throws(ParquetError) -> Int? {
    if let pendingRepetition { return pendingRepetition }
    guard chunkRemaining > 0 else { return nil }
    while pageRemaining == 0 { try readPage() }
    let repetition = Int(try repetitions?.next() ?? 0)
    guard repetition <= leaf.repetitionMax else { throw .damaged }
    pendingRepetition = repetition
    return repetition
  }

  func next() throws(ParquetError) -> Entry {
    guard try nextRepetition() != nil else { throw ParquetError("the column '\(name)' has fewer values than rows") }
    pendingRepetition = nil
    chunkRemaining -= 1
    pageRemaining -= 1
    let definition = Int(try definitions?.next() ?? 0)
    guard definition <= leaf.definitionMax else { throw .damaged }
    let isValue = definition == leaf.definitionMax
    if isValue { try readValue() }
    return Entry(definition: definition, isValue: isValue)
  }

  private func readValue() throws(ParquetError) {
    switch values {
    case .none: throw .damaged
    case .plain(var position):
      try readPlain(page, &position, pageEnd)
      values = .plain(position: position)
    case .deltas(var decoder):
      values = .none
      integer = try decoder.next()
      values = .deltas(decoder)
    case .indices(var decoder):
      let index = Int(try decoder.next())
      values = .indices(decoder)
      guard let dictionary else { throw ParquetError("a page of the column '\(name)' needs a dictionary that is not there") }
      if leaf.type == ParquetType.byteArray {
        guard index < dictionary.ends.count else { throw .damaged }
        slice = (dictionary.page, dictionary.ends[index].start, dictionary.ends[index].end)
      } else {
        guard index < dictionary.integers.count else { throw .damaged }
        integer = dictionary.integers[index]
      }
    }
  }

  private func readPlain(_ page: PageBytes, _ position: inout Int, _ end: Int) throws(ParquetError) {
    func load(_ count: Int) throws(ParquetError) -> UInt64 {
      guard end - position >= count else { throw .short }
      var value: UInt64 = 0
      for index in 0..<count { value |= UInt64(page.bytes[position + index]) << UInt64(8 * index) }
      position += count
      return value
    }
    switch leaf.type {
    case ParquetType.int32: integer = Int64(Int32(truncatingIfNeeded: try load(4)))
    case ParquetType.int64: integer = Int64(bitPattern: try load(8))
    default:
      let count = Int(try load(4))
      guard end - position >= count else { throw .short }
      slice = (page, position, position + count)
      position += count
    }
  }

  // Pages

  private func readPage() throws(ParquetError) {
    guard position < end else { throw ParquetError("the column '\(name)' has fewer values than it says") }
    let (header, headerBytes) = try readHeader()
    let body = position + Int64(headerBytes)
    guard Int64(header.compressedBytes) <= end - body else { throw .short }
    guard header.uncompressedBytes <= pageBytesMax else {
      throw ParquetError(
        "a page of the column '\(name)' has \(header.uncompressedBytes) bytes; more than \(pageBytesMax) are not read")
    }
    let bytes = try source.read(body, header.compressedBytes)
    position = body + Int64(header.compressedBytes)
    switch header.type {
    case ParquetPage.dictionary: try readDictionary(header, bytes)
    case ParquetPage.data: try beginData(header, try decompress(bytes[...], header, header.uncompressedBytes))
    case ParquetPage.dataV2: try beginDataV2(header, bytes)
    default: break  // an index page
    }
  }

  private func readHeader() throws(ParquetError) -> (ParquetPageHeader, Int) {
    // Nearly always some dozens of bytes; statistics in it may be longer.
    var window = 512
    while true {
      let count = Int(min(Int64(window), end - position))
      let bytes = try source.read(position, count)
      do throws(ParquetError) {
        return try bytes.withRawBytes { (bytes) throws(ParquetError) in try ParquetPageHeader.read(bytes) }
      } catch {
        if error != .short || Int64(count) == end - position || window > 1 << 24 { throw error }
      }
      window *= 8
    }
  }

  private func decompress(
    _ bytes: ArraySlice<UInt8>, _ header: ParquetPageHeader, _ count: Int
  ) throws(ParquetError) -> [UInt8] {
    let codec = header.isCompressed ? chunk.codec : ParquetCodec.uncompressed
    return try bytes.withUnsafeBufferPointer { (input) throws(ParquetError) in
      try decompressor.decompress(UnsafeRawBufferPointer(input), codec: codec, count: count)
    }
  }

  private func readDictionary(_ header: ParquetPageHeader, _ bytes: [UInt8]) throws(ParquetError) {
    let page = PageBytes(try decompress(bytes[...], header, header.uncompressedBytes))
    // Every value has four bytes at least.
    guard header.valueCount <= page.bytes.count / 4 else { throw .damaged }
    var position = 0
    var ends: [(start: Int, end: Int)] = []
    var integers: [Int64] = []
    for _ in 0..<header.valueCount {
      try readPlain(page, &position, page.bytes.count)
      if leaf.type == ParquetType.byteArray { ends.append((slice.start, slice.end)) } else { integers.append(integer) }
    }
    dictionary = (page, ends, integers)
  }

  private func beginData(_ header: ParquetPageHeader, _ bytes: [UInt8]) throws(ParquetError) {
    page = PageBytes(bytes)
    var position = 0
    repetitions = try levels(&position, max: leaf.repetitionMax)
    definitions = try levels(&position, max: leaf.definitionMax)
    try beginValues(header, at: position)
  }

  private func levels(_ position: inout Int, max: Int) throws(ParquetError) -> RunDecoder? {
    if max == 0 { return nil }
    guard page.bytes.count - position >= 4 else { throw .short }
    var count = 0
    for index in 0..<4 { count |= Int(page.bytes[position + index]) << (8 * index) }
    position += 4
    guard page.bytes.count - position >= count else { throw .short }
    defer { position += count }
    return try RunDecoder(page, position..<position + count, width: ParquetBits.width(UInt64(max)))
  }

  private func beginDataV2(_ header: ParquetPageHeader, _ bytes: [UInt8]) throws(ParquetError) {
    let levelBytes = header.repetitionBytes + header.definitionBytes
    guard levelBytes <= bytes.count, levelBytes <= header.uncompressedBytes else { throw .damaged }
    let body = bytes[levelBytes...]
    let rest = body.isEmpty ? [] : try decompress(body, header, header.uncompressedBytes - levelBytes)
    page = PageBytes(bytes[..<levelBytes] + rest)
    let middle = header.repetitionBytes
    repetitions =
      leaf.repetitionMax == 0
      ? nil : try RunDecoder(page, 0..<middle, width: ParquetBits.width(UInt64(leaf.repetitionMax)))
    definitions =
      leaf.definitionMax == 0
      ? nil : try RunDecoder(page, middle..<levelBytes, width: ParquetBits.width(UInt64(leaf.definitionMax)))
    try beginValues(header, at: levelBytes)
  }

  private func beginValues(_ header: ParquetPageHeader, at start: Int) throws(ParquetError) {
    pageRemaining = Int(min(Int64(header.valueCount), chunkRemaining))
    pageEnd = page.bytes.count
    switch header.encoding {
    case ParquetEncoding.plain: values = .plain(position: start)
    case ParquetEncoding.deltaBinaryPacked where leaf.type != ParquetType.byteArray:
      // A page of nulls has no differences.
      values = start == pageEnd ? .none : .deltas(try DeltaDecoder(page, start..<pageEnd))
    case ParquetEncoding.rleDictionary, ParquetEncoding.plainDictionary:
      values = start == pageEnd ? .none : .indices(try RunDecoder(page, start + 1..<pageEnd, width: Int(page.bytes[start])))
    default:
      throw ParquetError(
        "the column '\(name)' is in an encoding (\(header.encoding)) that is not read here: write it plain or with a dictionary"
      )
    }
  }
}
