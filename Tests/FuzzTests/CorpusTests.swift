import FuzzTargets
import Glibc
import TestSupport
import Testing

@Suite("Corpora") struct CorpusTests {
  private static let root = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/Corpus"

  private static func read(_ path: String) throws -> [UInt8] {
    let file = try #require(fopen(path, "r"), "\(path)")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return bytes
  }

  @Test("what fuzzers start from, and what they found, ends in a value or an error", arguments: FuzzTarget.Kind.allCases)
  func replay(kind: FuzzTarget.Kind) throws {
    let directory = "\(Self.root)/\(kind.rawValue)"
    let names = try directoryEntries(directory).sorted()
    #expect(!names.isEmpty)
    let target = FuzzTarget(kind)
    for name in names {
      let bytes = try Self.read("\(directory)/\(name)")
      bytes.withUnsafeBytes { target.run($0) }
      // And every beginning of it, or some if it is long.
      for end in stride(from: 0, to: bytes.count, by: max(1, bytes.count / 64)) {
        bytes[..<end].withUnsafeBytes { target.run($0) }
      }
    }
  }
}
