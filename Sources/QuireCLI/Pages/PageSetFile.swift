internal import Glibc
internal import Pages

/// The sets of a .pages file, one after the other.
struct PageSetFile {
  private let file: OpenFile
  private var decoder = PageSetDecoder()
  private var offset = 0
  private var chunk = [UInt8](repeating: 0, count: 1 << 20)

  init(_ path: String) throws { file = try OpenFile(path) }

  /// Whether it begins as one.
  static func isOne(_ path: String) throws -> Bool {
    var magic = [UInt8](repeating: 0, count: 4)
    let file = try OpenFile(path)
    return try magic.withUnsafeMutableBytes { try file.read(at: 0, into: $0) } == 4 && magic == Array("QPGS".utf8)
  }

  /// - Throws: `CommandFailure` where the file is damaged or cut off.
  mutating func next() throws -> PageSet? {
    while true {
      do throws(PagesError) {
        if let set = try decoder.next() { return set }
      } catch { throw CommandFailure("'\(file.path)': \(error)") }
      let start = offset
      let count = try chunk.withUnsafeMutableBytes { try file.read(at: start, into: $0) }
      guard count > 0 else {
        if decoder.isBetweenSets { return nil }
        throw CommandFailure("'\(file.path)' ends inside of a page set")
      }
      offset += count
      chunk.withUnsafeBytes { decoder.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }
  }
}
