internal import Bytes
internal import Export
internal import Gateway
internal import HistorySupport
internal import KafkaProtocol
internal import NIOCore
internal import Pages
internal import Query
internal import Records
internal import Shipping

/// What reads bytes or text from outside, each behind one call for a fuzzer, and for the tests that replay what fuzzers found.
///
/// Any input ends in a value or a thrown error, which is swallowed. A trap, a broken promise or much memory is a finding. Used by one
/// thread at a time.
public final class FuzzTarget {
  public enum Kind: String, CaseIterable, Sendable {
    /// A request as it stands in a frame: header and message, of any API and version.
    case request
    /// API key and version, two bytes each, and the response to such a request, as a client reads it.
    case response
    /// A record batch, taken as it is.
    case batch
    /// A record batch whose length, magic and CRC are made right, so that what is behind them is reached.
    case repairedBatch = "repaired-batch"
    /// A seed for the sizes of the pieces, and a stream of frames.
    case frames
    /// Integers, varints and text, in the order that the bytes themselves choose.
    case reader
    /// An SQL statement over two small topics.
    case sql
    /// A seed for the sizes of the pieces, and a stream of a Postgres client's bytes.
    case postgresStream = "postgres-stream"
    /// What a Postgres client may send as SQL, over the same topics.
    case postgresSQL = "postgres-sql"
    /// A Parquet file of records.
    case parquet
    /// A CSV file of records.
    case csv
    /// Records as lines of JSON.
    case jsonl
    /// Frames of records, as a node sends them to its command line.
    case recordFrames = "record-frames"
    /// Page sets, one behind the other.
    case pageSets = "page-sets"
    /// One page set whose length and hashes are made right, so that what is behind them is reached.
    case repairedPageSet = "repaired-page-set"
    /// A -wal file, or a database.
    case pages
    /// A stream of another node's bytes, from its greeting on.
    case peerStream = "peer-stream"
    /// One message of another node without the frame around it.
    case peerMessage = "peer-message"
  }

  public let kind: Kind
  private lazy var history = Self.makeHistory()

  public init(_ kind: Kind) { self.kind = kind }

  public func run(_ bytes: UnsafeRawBufferPointer) {
    switch kind {
    case .request: Self.request(ByteBuffer(bytes: bytes))
    case .response: Self.response(ByteBuffer(bytes: bytes))
    case .batch: RecordsFuzzing.run(bytes, repairs: false)
    case .repairedBatch: RecordsFuzzing.run(bytes, repairs: true)
    case .frames: Self.frames(bytes)
    case .reader: Self.reader(bytes)
    case .postgresStream: PostgresFuzzing.stream(bytes)
    case .postgresSQL:
      PostgresFuzzing.statements(String(decoding: bytes, as: UTF8.self), over: MemoryCatalog(history), limits: Self.limits)
    case .sql: sql(String(decoding: bytes, as: UTF8.self), format: bytes.count)
    case .parquet: ExportFuzzing.parquet(Array(bytes))
    case .csv: ExportFuzzing.lines(CSVRecordReader(bytes: Array(bytes)), as: .csv) { CSVRecordReader(bytes: $0) }
    case .jsonl: ExportFuzzing.lines(JSONLinesReader(bytes: Array(bytes)), as: .jsonl) { JSONLinesReader(bytes: $0) }
    case .recordFrames: ExportFuzzing.frames(bytes)
    case .pageSets: PagesFuzzing.sets(bytes, repairs: false)
    case .repairedPageSet: PagesFuzzing.sets(bytes, repairs: true)
    case .pages: PagesFuzzing.log(bytes)
    case .peerStream: ShippingFuzzing.stream(bytes)
    case .peerMessage: ShippingFuzzing.message(bytes)
    }
  }

  // Messages

  private static func request(_ bytes: ByteBuffer) {
    var frame = bytes
    guard let header = try? RequestHeader.decode(from: &frame), let key = APIKey(rawValue: header.apiKey),
      knownVersions(key).contains(header.apiVersion)
    else { return }
    request(requestType(key), frame, header.apiVersion)
  }

  private static func request<R: KafkaRequest>(_: R.Type, _ body: ByteBuffer, _ version: Int16) {
    var body = body
    guard let request = try? KafkaMessageCodec.decode(R.self, from: &body, version: version, ignoringRest: true) else { return }
    var again = KafkaMessageCodec.encodeRequest(request, version: version, correlationID: 0, clientID: nil).joined
    again.moveReaderIndex(forwardBy: 4)
    _ = try? RequestHeader.decode(from: &again)
    let copy = try? KafkaMessageCodec.decode(R.self, from: &again, version: version)
    precondition(copy == request, "\(R.apiKey) \(version): what was read is not what is written again")
  }

  private static func response(_ bytes: ByteBuffer) {
    var bytes = bytes
    guard let (number, version) = bytes.readMultipleIntegers(as: (Int16, Int16).self), let key = APIKey(rawValue: number),
      knownVersions(key).contains(version)
    else { return }
    response(requestType(key), bytes, version)
  }

  private static func response<R: KafkaRequest>(_: R.Type, _ frame: ByteBuffer, _ version: Int16) {
    var frame = frame
    guard let (id, response) = try? KafkaMessageCodec.decodeResponse(R.Response.self, from: &frame, version: version) else {
      return
    }
    var again = KafkaMessageCodec.encodeResponse(response, correlationID: id, version: version).joined
    again.moveReaderIndex(forwardBy: 4)
    let copy = try? KafkaMessageCodec.decodeResponse(R.Response.self, from: &again, version: version)
    precondition(copy?.response == response, "\(R.apiKey) \(version): what was read is not what is written again")
  }

  // Streams

  /// However a stream is cut, the same frames come out of it.
  private static func frames(_ bytes: UnsafeRawBufferPointer) {
    guard let seed = bytes.first else { return }
    let stream = ByteBuffer(bytes: bytes.dropFirst())
    func cut(_ size: (Int) -> Int) -> [ByteBuffer] {
      var decoder = FrameDecoder(frameBytesMax: 1 << 16)
      var rest = stream
      var frames: [ByteBuffer] = []
      do throws(WireError) {
        while rest.readableBytes > 0 {
          decoder.append(rest.readSlice(length: min(rest.readableBytes, max(1, size(rest.readerIndex))))!)
          while let frame = try decoder.next() { frames.append(frame) }
        }
      } catch {}
      return frames
    }
    let whole = cut { _ in .max }
    precondition(cut { _ in 1 } == whole, "frames that drip are not those that arrive at once")
    precondition(cut { Int(seed) ^ ($0 & 31) } == whole, "frames in pieces are not those that arrive at once")
  }

  /// What a varint is read as is written in no more bytes, and read again as the same.
  private static func reader(_ bytes: UnsafeRawBufferPointer) {
    var reader = ByteReader(bytes)
    while let operation = try? reader.integer(UInt8.self) {
      let before = reader.index
      do throws(WireError) {
        switch operation % 8 {
        case 0: check(UInt64(try reader.unsignedVarint()), reader.index - before)
        case 1: check(try reader.unsignedVarlong(), reader.index - before)
        case 2: check(Varint.zigzag(Int64(try reader.varint())), reader.index - before)
        case 3: check(Varint.zigzag(try reader.varlong()), reader.index - before)
        case 4: _ = try reader.string(Int(try reader.integer(Int16.self)))
        case 5: _ = try reader.bytes(Int(try reader.varint()))
        case 6: try reader.skip(Int(truncatingIfNeeded: try reader.varlong()))
        default: _ = try reader.double()
        }
      } catch { return }
      precondition(reader.index <= reader.count && reader.index >= before)
    }
  }

  private static func check(_ value: UInt64, _ count: Int) {
    var buffer = ByteBuffer()
    buffer.writeUnsignedVarint(value)
    precondition(buffer.readableBytes <= count && buffer.readableBytes == Varint.size(unsigned: value))
    let again = try? buffer.withReader { (reader: inout ByteReader) throws(WireError) in try reader.unsignedVarlong() }
    precondition(again == value)
  }

  // SQL

  private static let limits = SQLLimits(
    time: .milliseconds(500), outputBytes: 1 << 20, temporaryBytes: 4 << 20, cacheBytes: 1 << 20, valueBytes: 1 << 20)

  private func sql(_ text: String, format: Int) {
    guard let session = try? SQLSession(source: history, limits: Self.limits, control: ScanControl()) else { return }
    let format = OutputFormat.allCases[format % OutputFormat.allCases.count]
    _ = try? session.run(text, parameters: [:], into: format.makeWriter { _ in })
  }

  private static func makeHistory() -> MemoryHistory {
    var history = MemoryHistory()
    for topic in ["orders.v1", "plays"] {
      for partition in 0..<2 as Range<Int32> {
        let batches = [Int64(0), 4, 8].compactMap { base in
          let records = (base..<base + 4).map { offset in
            let key: String? = offset % 4 == 0 ? nil : "k\(offset)"
            return TestRecord(1_700_000_000_000 + offset, "{\"user\":\(offset)}", key: key)
          }
          return try? MemoryHistory.Batch(records, at: base, compression: base == 4 ? .zstd : .none)
        }
        history.add(PartitionExtent(topic: topic, partition: partition, logStartOffset: 1, highWatermark: 11), batches)
      }
    }
    return history
  }
}
