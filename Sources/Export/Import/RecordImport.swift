/// Why a file cannot be taken in further. Records before the place stand.
public struct ImportError: Error, Sendable, Equatable, CustomStringConvertible {
  public var path: String
  /// `line 3` or `row 17`; empty where it is the file as a whole.
  public var place: String
  public var message: String

  public init(path: String, place: String = "", message: String) {
    self.path = path
    self.place = place
    self.message = message
  }

  public var description: String {
    "\(path == "-" ? "standard input" : path)\(place.isEmpty ? "" : ", \(place)"): \(message)"
  }
}

/// Reads records back out of a file, in its order. Used by one thread, which blocks.
public protocol RecordReader: AnyObject {
  /// The next record; nil behind the last.
  func next() throws(ImportError) -> ImportedRecord?
  /// Where the last record was, for people: `line 3`.
  var place: String { get }
  /// How far the reader is into its input, and how long that is, in whatever it counts; nil where it cannot know.
  var progress: (done: Int64, all: Int64)? { get }
  /// Columns that are not taken, as far as they have been met: in an export they stand behind those of a record, and are computed of it.
  var leftOut: [String] { get }
}

/// The files of an import.
public enum RecordImport {
  /// - Parameter path: `-` is standard input, for those formats that are streams of lines.
  public static func open(_ path: String, format: ExportFormat) throws(ImportError) -> any RecordReader {
    switch format {
    case .jsonl: return try JSONLinesReader(InputFile(path))
    case .csv: return try CSVRecordReader(InputFile(path))
    case .parquet: return try ParquetReader(path: path)
    case .sqlite: return try SQLiteRecordReader(path)
    }
  }

  /// The files that a path stands for: itself, or all of the format in a directory and those below it.
  ///
  /// Files of a split export come by partition and first offset, whatever folders they are in; others by name.
  public static func files(_ path: String, format: ExportFormat) throws(ImportError) -> [String] {
    guard FilePresence.isDirectory(path) else { return [path] }
    var found: [(name: String, path: String)] = []
    func walk(_ directory: String) throws(ImportError) {
      guard let names = FilePresence.names(in: directory) else {
        throw ImportError(path: directory, message: "the directory cannot be read")
      }
      for name in names where name.first != "." {
        let inner = "\(directory)/\(name)"
        if FilePresence.isDirectory(inner) {
          try walk(inner)
        } else if name.hasSuffix(".\(format.fileExtension)") || name.hasSuffix(".\(format.rawValue)") {
          found.append((name, inner))
        }
      }
    }
    try walk(path)
    if found.isEmpty { throw ImportError(path: path, message: "there is no .\(format.fileExtension) file in it") }
    return found.sorted { ($0.name, $0.path) < ($1.name, $1.path) }.map(\.path)
  }
}
