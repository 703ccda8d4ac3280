internal import Bytes

/// What a fuzzer calls with arbitrary bytes: everything in this room that reads bytes from outside.
///
/// Any input ends in a value or a thrown error; it never traps, and memory stays within a small multiple of the input.
public enum PagesFuzzing {
  /// Bytes as a stream of page sets, cut in pieces; what is read is written as it was, applied, and merged.
  ///
  /// - Parameter repairs: sets the hashes of the first set right, so that what is behind them is reached.
  public static func sets(_ bytes: UnsafeRawBufferPointer, repairs: Bool) {
    var stream = Array(bytes)
    if repairs { repair(&stream) }
    guard let sets = decode(stream, step: .max) else {
      precondition(decode(stream, step: 7) == nil, "sets in pieces are not those that come at once")
      return
    }
    precondition(decode(stream, step: 7) == sets, "sets in pieces are not those that come at once")
    var written: [UInt8] = []
    for set in sets { set.encode(into: &written) }
    precondition(written.elementsEqual(stream.prefix(written.count)), "a set is not written as it was read")
    guard let first = sets.first else { return }
    var compactor = PageSetCompactor(first)
    for set in sets.dropFirst() where (try? compactor.add(set)) == nil { return }
    if let merged = try? compactor.merged() {
      var again: [UInt8] = []
      merged.encode(into: &again)
      precondition(decode(again, step: .max) == [merged], "a merged set is not read as it was written")
    }
    for set in sets where set.encodedByteCount < 1 << 20 { apply(set) }
  }

  /// - Returns: nil where the stream ends in an error.
  private static func decode(_ stream: [UInt8], step: Int) -> [PageSet]? {
    var decoder = PageSetDecoder(payloadBytesMax: 16 << 20)
    var sets: [PageSet] = []
    var at = 0
    do throws(PagesError) {
      while at < stream.count {
        let end = step < stream.count - at ? at + step : stream.count
        stream.withUnsafeBytes { decoder.append(UnsafeRawBufferPointer(rebasing: $0[at..<end])) }
        at = end
        while let set = try decoder.next() { sets.append(set) }
      }
    } catch { return nil }
    return sets
  }

  private static func repair(_ stream: inout [UInt8]) {
    guard stream.count >= PageSetHeader.byteCount else { return }
    let payload = stream.count - PageSetHeader.byteCount
    put(UInt64(payload), at: 96)
    put(stream.withUnsafeBytes { XXH64.of(UnsafeRawBufferPointer(rebasing: $0[PageSetHeader.byteCount...])) }, at: 104)
    put(stream.withUnsafeBytes { XXH64.of(UnsafeRawBufferPointer(rebasing: $0[..<112])) }, at: 112)
    func put(_ value: UInt64, at offset: Int) {
      for index in 0..<8 { stream[offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * index)) }
    }
  }

  private static func apply(_ set: PageSet) {
    var sums = PageSums(pageSize: set.header.pageSize)
    var position = set.header.before
    let before = sums
    let refusal = sums.apply(set, at: &position) { (_, page: UnsafeMutableRawBufferPointer) in
      page.initializeMemory(as: UInt8.self, repeating: 0)
    } write: { number, page in
      precondition(number.rawValue <= set.header.pageCountAfter && page.count == set.header.pageSize.bytes)
    }
    precondition(refusal == nil || sums == before, "a refused set has left something behind")
  }

  /// Bytes as a -wal file, and then as a database.
  public static func log(_ bytes: UnsafeRawBufferPointer) {
    func read(_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
      guard offset < bytes.count else { return 0 }
      let count = min(buffer.count, bytes.count - offset)
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count]))
      return count
    }
    if case .success(let header) = WALReader.header(read: read) {
      var reader = WALReader(from: WALChain(header))
      while case .commit(let commit) = reader.next(read: read) {
        precondition(commit.pages.allSatisfy { commit.frames.contains($0.index) && $0.page.rawValue <= commit.pageCount })
      }
    }
    guard let header = DatabaseHeader(bytes), header.reservedBytes < header.pageSize.bytes else { return }
    let pageCount = (bytes.count + header.pageSize.bytes - 1) / header.pageSize.bytes
    let owners = PageOwners(header, pageCount: pageCount) { number, page in
      page.initializeMemory(as: UInt8.self, repeating: 0)
      _ = read(number.byteOffset(pageSize: header.pageSize), page)
    }
    for page in 0...UInt32(pageCount) { _ = "\(owners[PageNumber(page)])" }
  }
}
