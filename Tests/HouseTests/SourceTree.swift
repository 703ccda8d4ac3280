import Glibc
import TestSupport

/// The source tree that this test was compiled from.
enum SourceTree {
  static let root: String = {
    let parts = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return parts.dropLast(3).joined(separator: "/")
  }()

  /// A text file, by its path from the root.
  struct File {
    var path: String
    var lines: [String]

    /// The room or test target it belongs to.
    var target: String {
      let parts = path.split(separator: "/")
      return parts.count > 2 ? String(parts[1]) : ""
    }
    /// Its lines without line comments; what is in a string stays.
    var code: [String] { lines.map { Self.withoutComment($0) } }

    private static func withoutComment(_ line: String) -> String {
      guard line.contains("//") else { return line }
      var isInString = false
      var previous: Character = " "
      for index in line.indices {
        let character = line[index]
        if character == "\"", previous != "\\" { isInString.toggle() }
        if character == "/", previous == "/", !isInString { return String(line[..<line.index(before: index)]) }
        previous = character
      }
      return line
    }
  }

  /// The files under `directory` (from the root) whose names end in one of `endings`.
  static func files(under directory: String, endings: [String]) throws -> [File] {
    var found: [File] = []
    for name in try directoryEntries("\(root)/\(directory)").sorted() where !name.hasPrefix(".") {
      let path = "\(directory)/\(name)"
      if isDirectory(path) {
        found += try files(under: path, endings: endings)
      } else if endings.contains(where: { name.hasSuffix($0) }) {
        found.append(try file(path))
      }
    }
    return found
  }

  static func swiftFiles(under directory: String) throws -> [File] { try files(under: directory, endings: [".swift"]) }

  static func file(_ path: String) throws -> File {
    File(path: path, lines: try text(path).split(separator: "\n", omittingEmptySubsequences: false).map { String($0) })
  }

  struct Missing: Error { var path: String }

  static func text(_ path: String) throws -> String {
    guard let file = fopen("\(root)/\(path)", "r") else { throw Missing(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat("\(root)/\(path)", &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
