internal import Glibc

/// Records out of JSON Lines, as `RecordJSON` has them.
public final class JSONLinesReader: RecordReader {
  /// A longer line is no record: a topic takes none of half that size, and Base64 and escapes are within the other half.
  static let lineBytesMax = 512 << 20

  private let input: LineInput
  private var line = 0

  init(_ file: InputFile) { input = LineInput(file) }

  /// Over bytes in memory.
  public init(bytes: [UInt8]) { input = LineInput(bytes: bytes) }

  /// Of the names that were met, no more than anybody would read.
  public private(set) var leftOut: [String] = []
  private static let leftOutMax = 100

  public var place: String { "line \(line)" }
  public var progress: (done: Int64, all: Int64)? { input.progress }

  public func next() throws(ImportError) -> ImportedRecord? {
    while let range = try input.nextLine(lineBytesMax: Self.lineBytesMax) {
      line += 1
      if range.isEmpty { continue }
      var result: Result<ImportedRecord, RecordJSON.Failure>?
      input.buffer.withUnsafeBytes { bytes in
        let text = UnsafeRawBufferPointer(rebasing: bytes[range])
        result = Result { () throws(RecordJSON.Failure) in
          try RecordJSON.read(text) { name in
            if leftOut.count < Self.leftOutMax, !leftOut.contains(name) { leftOut.append(name) }
          }
        }
      }
      switch result {
      case .success(let record)?: return record
      case .failure(let failure)?: throw ImportError(path: input.path, place: place, message: failure.reason)
      case nil: return nil
      }
    }
    return nil
  }
}

/// Bytes of an input that are being looked at: a window that slides.
final class LineInput {
  private let file: InputFile?
  var path: String { file?.path ?? "bytes" }
  private(set) var buffer: [UInt8]
  /// Where in the buffer the next byte is.
  var position = 0
  private(set) var isAtEnd: Bool

  init(_ file: InputFile) {
    self.file = file
    buffer = []
    isAtEnd = false
  }

  init(bytes: [UInt8]) {
    file = nil
    buffer = bytes
    isAtEnd = true
  }

  var progress: (done: Int64, all: Int64)? {
    guard let file, let size = file.size else { return nil }
    return (file.position - Int64(buffer.count - position), size)
  }

  /// Lets go of what is behind `position` and reads more.
  ///
  /// - Returns: false at the end.
  func more() throws(ImportError) -> Bool {
    guard let file, !isAtEnd else { return false }
    if position > 0 {
      buffer.removeFirst(position)
      position = 0
    }
    isAtEnd = try !file.read(into: &buffer)
    return !isAtEnd
  }

  /// The next line without its end (LF or CRLF), as a range of `buffer`; nil at the end.
  func nextLine(lineBytesMax: Int) throws(ImportError) -> Range<Int>? {
    var searched = 0
    while true {
      let feed = buffer.withUnsafeBytes { bytes -> Int? in
        let from = position + searched
        guard from < bytes.count, let found = memchr(bytes.baseAddress! + from, 0x0A, bytes.count - from) else { return nil }
        return bytes.baseAddress!.distance(to: UnsafeRawPointer(found))
      }
      if let feed {
        defer { position = feed + 1 }
        return position..<(feed > position && buffer[feed - 1] == 0x0D ? feed - 1 : feed)
      }
      searched = buffer.count - position
      if searched > lineBytesMax { throw ImportError(path: path, message: "a line is longer than \(lineBytesMax) bytes") }
      if try more() { continue }
      if position == buffer.count { return nil }
      defer { position = buffer.count }
      return position..<buffer.count
    }
  }
}
