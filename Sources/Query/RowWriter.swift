public import SQLite

/// One row of an answer, borrowed: valid until the next, and not to be kept (a statement must not outlive its session).
public struct ResultRow: ~Copyable {
  private let statement: Statement
  public let columnCount: Int

  init(_ statement: Statement) {
    self.statement = statement
    columnCount = statement.columnCount
  }

  public func kind(_ column: Int) -> ColumnKind { statement.columnKind(at: column) }
  public func integer(_ column: Int) -> Int64 { statement.integer(at: column) }
  public func real(_ column: Int) -> Double { statement.double(at: column) }
  /// The bytes of a TEXT or BLOB. Of both as SQLite's blob: asked for a text, it would copy it to put a NUL behind it.
  public func bytes(_ column: Int) -> UnsafeRawBufferPointer { statement.borrowedBlob(at: column) }
}

/// Turns rows into bytes as they come.
public protocol RowWriter: AnyObject {
  var output: OutputBuffer { get }
  /// Called once, before the rows, also if there are none.
  func begin(columns: [String]) throws
  func write(_ row: borrowing ResultRow) throws
  /// Called where the next row is long in coming: everything so far has to go out.
  func pause() throws
  /// Called behind the last row, if nothing failed.
  func end() throws
}

extension RowWriter {
  public func pause() throws { try output.flush() }
}

/// The formats rows can be written in.
public enum OutputFormat: String, Sendable, CaseIterable {
  case table, json, jsonl, csv

  /// - Parameter sink: gets the bytes in chunks of about 64 KiB, in order; what it throws ends the query.
  public func makeWriter(sink: @escaping ([UInt8]) throws -> Void) -> any RowWriter {
    let output = OutputBuffer(sink: sink)
    switch self {
    case .table: return TableWriter(output)
    case .json: return JSONWriter(output, isArray: true)
    case .jsonl: return JSONWriter(output, isArray: false)
    case .csv: return CSVWriter(output)
    }
  }

  /// The media type for HTTP.
  public var mediaType: String {
    switch self {
    case .table: "text/plain; charset=utf-8"
    case .json: "application/json"
    case .jsonl: "application/x-ndjson"
    case .csv: "text/csv; charset=utf-8"
    }
  }
}

/// Collects bytes and hands them on in chunks.
public final class OutputBuffer {
  public static let chunkBytes = 64 << 10

  /// Append here.
  public var bytes: [UInt8] = []
  /// Bytes handed on so far.
  public private(set) var bytesWritten = 0
  /// Nil: without bound.
  var bytesMax: Int?
  /// Why rows could not be handed on while the next was looked for.
  private(set) var failure: (any Error)?
  private let sink: ([UInt8]) throws -> Void
  private var flushed = SteadyClock.coarseMilliseconds

  /// How long rows wait for others, where those are long in coming.
  static let patience: Int64 = 200

  public init(sink: @escaping ([UInt8]) throws -> Void) { self.sink = sink }

  /// Hands on what is a chunk, or has waited long enough.
  public func flushIfFull() throws {
    if bytes.count >= Self.chunkBytes || isDue { try flush() }
  }

  private var isDue: Bool { !bytes.isEmpty && SteadyClock.coarseMilliseconds - flushed >= Self.patience }

  /// Hands on, from within the search for the next row, what has waited long enough.
  ///
  /// - Returns: false where that failed, as `failure` says.
  func flushIfDue() -> Bool {
    guard failure == nil else { return false }
    guard isDue else { return true }
    do { try flush() } catch { failure = error }
    return failure == nil
  }

  /// - Throws: what the sink throws; `QueryError` past `bytesMax`, with nothing beyond it handed on.
  public func flush() throws {
    guard !bytes.isEmpty else { return }
    if let bytesMax, bytes.count > bytesMax - bytesWritten {
      throw QueryError(.limit(.outputBytes), "the answer is longer than the limit of \(bytesMax) bytes")
    }
    try sink(bytes)
    bytesWritten += bytes.count
    bytes.removeAll(keepingCapacity: true)
    flushed = SteadyClock.coarseMilliseconds
  }
}
