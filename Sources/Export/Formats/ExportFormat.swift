internal import Query

/// The formats in which records leave, and come back.
public enum ExportFormat: String, Sendable, CaseIterable {
  case jsonl, csv, parquet, sqlite

  public var mediaType: String {
    switch self {
    case .jsonl: "application/x-ndjson"
    case .csv: "text/csv; charset=utf-8"
    case .parquet: "application/vnd.apache.parquet"
    case .sqlite: "application/vnd.sqlite3"
    }
  }

  /// The ending of the names of its files.
  public var fileExtension: String { self == .sqlite ? "db" : rawValue }
  /// Written from the front to the back, so that it can go into a pipe.
  public var isStream: Bool { self != .sqlite }

  /// - Throws: `.refused` where the format has none of these columns.
  public func check(_ choice: ColumnChoice) throws(ExportError) {
    if self == .parquet || self == .sqlite, choice.fixed.subtracting(.timestampType).isEmpty, choice.declared == [] {
      throw .refused("\(rawValue) has no column 'timestamp_type'")
    }
  }

  /// A writer of a stream.
  ///
  /// - Parameters:
  ///   - isParallel: it may use other threads, which then may call `sink` (never two at a time).
  ///   - sink: gets the bytes in order, in chunks; never an empty one.
  /// - Precondition: `isStream`.
  public func makeWriter(
    _ schema: ExportSchema, isParallel: Bool = false, sink: @escaping ([UInt8]) throws(ExportError) -> Void
  ) -> any RecordWriter {
    switch self {
    case .jsonl: return LineWriter(schema, isParallel: isParallel, sink) { JSONLinesFormat(schema) }
    case .csv: return LineWriter(schema, isParallel: isParallel, sink) { CSVFormat(schema) }
    case .parquet: return ParquetWriter(schema, isParallel: isParallel, sink)
    case .sqlite: preconditionFailure("a database is no stream")
    }
  }
}

/// Writes the records of one output.
public protocol RecordWriter: AnyObject {
  func write(_ record: ExportRecord) throws(ExportError)
  /// Bytes held back that `checkpoint` would hand on.
  var bufferedBytes: Int { get }
  /// Hands on all that was written.
  ///
  /// - Returns: what `resume` needs to go on behind it, beside the bytes themselves.
  func checkpoint() throws(ExportError) -> [UInt8]
  /// Goes on behind a checkpoint, before the first record.
  ///
  /// - Parameter bytes: how many were handed on up to there.
  func resume(_ state: [UInt8], bytes: Int64) throws(ExportError)
  /// Ends the output.
  func finish() throws(ExportError)
}

/// Which columns that every topic has are exported. Their order is always the same.
public struct ExportColumns: OptionSet, Sendable, Hashable {
  public let rawValue: UInt16
  public init(rawValue: UInt16) { self.rawValue = rawValue }

  public static let topic = ExportColumns(rawValue: 1)
  public static let partition = ExportColumns(rawValue: 2)
  public static let offset = ExportColumns(rawValue: 4)
  public static let timestamp = ExportColumns(rawValue: 8)
  /// Where the timestamp comes from; not in Parquet and SQLite, whose schema is that of SQL.
  public static let timestampType = ExportColumns(rawValue: 16)
  public static let key = ExportColumns(rawValue: 32)
  public static let value = ExportColumns(rawValue: 64)
  public static let headers = ExportColumns(rawValue: 128)

  public static let all = ExportColumns(rawValue: 255)

  public static let names: [(name: String, column: ExportColumns)] = [
    ("topic", .topic), ("partition", .partition), ("offset", .offset), ("timestamp", .timestamp),
    ("timestamp_type", .timestampType), ("key", .key), ("value", .value), ("headers", .headers),
  ]

  public var list: [String] { Self.names.filter { contains($0.column) }.map(\.name) }
}

/// How a key or value is written where only text can be.
enum TextEncoding {
  case utf8, base64, null

  init(_ bytes: UnsafeRawBufferPointer?) {
    guard let bytes else {
      self = .null
      return
    }
    self = TextBytes.isUTF8(bytes) ? .utf8 : .base64
  }

  var name: StaticString {
    switch self {
    case .utf8: "utf8"
    case .base64: "base64"
    case .null: "null"
    }
  }
}
