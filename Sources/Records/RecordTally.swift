internal import Model

/// Goes through the records of one batch to check them, and gathers what the summary needs.
///
/// Unlike `RecordWalk` it never needs a record whole: of one that is larger than the decoding window, keys and values are passed
/// over as they are decoded. So validation needs no more memory than the window, whatever the records decode to.
struct RecordTally {
  let header: BatchHeader
  let rules: ValidationRules
  private(set) var count = 0
  private(set) var minTimestamp = Int64.max
  private(set) var maxTimestamp = Int64.min
  private(set) var decompressedBytes = 0
  private(set) var hasNullKey = false
  /// Set for a second pass over a batch that has bad records: then they are listed.
  private(set) var listing: Listing?

  struct Listing {
    let timestamps: ClosedRange<Int64>
    var errors: [BatchRejection.RecordError] = []
    var hasBadTimestamp = false
  }

  init(header: BatchHeader, rules: ValidationRules) {
    self.header = header
    self.rules = rules
  }

  /// A tally that lists the records with timestamps outside `timestamps`, and those without the key they need.
  init(listing timestamps: ClosedRange<Int64>, header: BatchHeader, rules: ValidationRules) {
    self.init(header: header, rules: rules)
    listing = Listing(timestamps: timestamps)
  }

  /// Checks every record.
  ///
  /// - Parameter section: the records section, as it lies in the batch.
  mutating func run(_ section: UnsafeRawBufferPointer) throws(RecordsError) {
    guard header.compression != .none else { return try runUncompressed(section) }
    let scratch = ScratchPool.take()
    defer { ScratchPool.giveBack(scratch) }
    try runCompressed(section, scratch)
  }

  /// Checks every record of a compressed section, decoding through `scratch`.
  mutating func runCompressed(_ section: UnsafeRawBufferPointer, _ scratch: RecordScratch) throws(RecordsError) {
    try scratch.open(section, codec: header.compression, limit: rules.decompressedBytesMax)
    try takeAll(scratch)
    decompressedBytes = scratch.decompressedBytes
  }

  private mutating func runUncompressed(_ section: UnsafeRawBufferPointer) throws(RecordsError) {
    var position = 0
    try take(section, &position)
    guard count == Int(header.recordCount) else {
      guard position == section.count else { throw .malformedRecord(index: count, .incomplete) }
      throw .recordsMissing(expected: Int(header.recordCount), found: count)
    }
    guard position == section.count else { throw .bytesLeftOver }
    decompressedBytes = section.count
  }

  private mutating func takeAll(_ scratch: RecordScratch) throws(RecordsError) {
    var position = 0
    while true {
      try take(UnsafeRawBufferPointer(rebasing: scratch.window[..<scratch.end]), &position)
      if count == Int(header.recordCount) { break }
      // What is left is a record cut off by the end of the window.
      if scratch.end - position >= RecordScratch.chunkBytes {
        try passLargeRecord(scratch, &position)
        continue
      }
      let isBetweenRecords = position == scratch.end
      let more = try scratch.refill(keepingFrom: position)
      position = 0
      guard more else {
        throw isBetweenRecords
          ? .recordsMissing(expected: Int(header.recordCount), found: count) : .malformedRecord(index: count, .incomplete)
      }
    }
    guard position == scratch.end, try !scratch.refill(keepingFrom: position) else { throw .bytesLeftOver }
  }

  /// Takes whole records from `bytes`, until one is cut off or there are as many as the header says.
  private mutating func take(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(RecordsError) {
    guard let base = bytes.baseAddress else { return }
    // Locals, so that nothing is stored per record.
    let limit = bytes.count
    let end = Int(header.recordCount)
    let baseTimestamp = header.baseTimestamp
    var index = count
    var smallest = minTimestamp
    var largest = maxTimestamp
    var nullKeys: Int32 = 0
    var parser = RecordParser(base, at: position)
    var found: RecordFault?
    do throws(RecordFault) {
      while index < end {
        let record = try parser.record(limit: limit)
        guard Int(record.offsetDelta) == index else { throw .offsetOutOfOrder }
        let timestamp = baseTimestamp &+ record.timestampDelta
        smallest = min(smallest, timestamp)
        largest = max(largest, timestamp)
        nullKeys |= record.keyCount
        if listing != nil { list(index, timestamp, hasKey: record.keyCount >= 0) }
        index &+= 1
        position = record.end
      }
    } catch {
      found = error
    }
    count = index
    minTimestamp = smallest
    maxTimestamp = largest
    if nullKeys < 0 { hasNullKey = true }
    if let found, found != .incomplete { throw .malformedRecord(index: index, found) }
  }

  private mutating func passLargeRecord(_ scratch: RecordScratch, _ position: inout Int) throws(RecordsError) {
    var stream = RecordStream(scratch, at: position)
    let fields: RecordStream.Fields
    do throws(RecordStream.Failure) {
      fields = try stream.record()
    } catch {
      switch error {
      case .stream(let error): throw error
      case .fault(let fault): throw .malformedRecord(index: count, fault)
      }
    }
    position = stream.position
    guard Int(fields.offsetDelta) == count else { throw .malformedRecord(index: count, .offsetOutOfOrder) }
    let timestamp = header.baseTimestamp &+ fields.timestampDelta
    minTimestamp = min(minTimestamp, timestamp)
    maxTimestamp = max(maxTimestamp, timestamp)
    if !fields.hasKey { hasNullKey = true }
    if listing != nil { list(count, timestamp, hasKey: fields.hasKey) }
    count += 1
  }

  @inline(never)
  private mutating func list(_ index: Int, _ timestamp: Int64, hasKey: Bool) {
    guard let timestamps = listing?.timestamps, listing!.errors.count < BatchRejection.recordErrorsMax else { return }
    if rules.requiresKeys, !hasKey {
      listing!.errors.append(.init(batchIndex: Int32(index), message: "a record of a compacted topic needs a key"))
    } else if timestamp != -1, !timestamps.contains(timestamp) {
      listing!.hasBadTimestamp = true
      let range = "[\(timestamps.lowerBound), \(timestamps.upperBound)]"
      listing!.errors.append(
        .init(batchIndex: Int32(index), message: "timestamp \(timestamp) is out of range: it has to be within \(range)"))
    }
  }
}
