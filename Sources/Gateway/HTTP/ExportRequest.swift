public import Export
import NIOCore

/// The body of `POST /v1/export`.
public struct ExportRequest: Hashable, Sendable {
  public enum Format: String, Sendable, CaseIterable {
    case jsonl, csv, parquet
    /// Frames for the command line, which writes the files itself; see `RecordFrameWriter`.
    case records

    /// Nil for frames.
    var written: ExportFormat? { ExportFormat(rawValue: rawValue) }
    var mediaType: String { written?.mediaType ?? "application/vnd.quire.records" }
  }

  public var topics: [String]
  public var format: Format
  /// Offsets or times as on the command line; nil for the whole history.
  public var from: String?
  public var to: String?
  /// An SQL expression over the columns of a topic.
  public var condition: String?
  /// Which columns; declared ones may be among them.
  public var columns: ColumnChoice
  /// What of single partitions is wanted; the others are whole.
  public var slices: [PartitionSlice]
}

extension ExportRequest {
  private struct Body: Decodable {
    var topics: [String]
    var format: String?
    var from: JSONScalar?
    var to: JSONScalar?
    var `where`: String?
    var columns: [String]?
    var partitions: [Slice]?
  }

  private struct Slice: Decodable {
    var topic: String
    var partition: Int32
    var from: Int64
    var to: Int64
  }

  init(json: ByteBuffer) throws(RequestRejection) {
    let body = try decodeBody(
      Body.self, json, allowed: ["topics", "format", "from", "to", "where", "columns", "partitions"])
    if body.topics.isEmpty { throw RequestRejection(message: "'topics' is empty") }
    topics = body.topics
    format = try decodeFormat(body.format, default: .jsonl)
    from = body.from.flatMap(\.text)
    to = body.to.flatMap(\.text)
    condition = body.where
    columns = .all
    if let names = body.columns {
      do throws(ExportError) {
        columns = try ColumnChoice(names: names)
        try format.written?.check(columns)
      } catch {
        throw RequestRejection(message: error.description)
      }
    }
    slices = []
    for slice in body.partitions ?? [] {
      guard slice.from <= slice.to else { throw RequestRejection(message: "a range of 'partitions' ends before it begins") }
      slices.append(PartitionSlice(topic: slice.topic, partition: slice.partition, offsets: slice.from..<slice.to))
    }
  }
}
