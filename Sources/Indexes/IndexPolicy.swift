/// When the newest records of a log are worth a file, and which files they take up.
///
/// Files are never changed: what has come since is a file of its own, and four of a size become one. So a record is indexed once for each
/// size, and a segment has few files, although nobody waits for one to be large.
struct IndexPolicy {
  /// Bytes of batches that are indexed at once.
  static let bytesMin: Int64 = 1 << 20
  /// Milliseconds that a log must have been quiet for less to be.
  static let quietMilliseconds: Int64 = 1000
  /// Milliseconds after which also a log that is never quiet gets its newest records indexed.
  static let ageMaxMilliseconds: Int64 = 30_000

  /// Milliseconds between two files of one partition where there is little to index: that each costs, and many partitions share.
  static func pause(partitions: Int) -> Int64 { max(2000, 250 * Int64(partitions)) }

  struct Tail {
    var records: Int64
    /// About how many bytes its batches have.
    var bytes: Int64
    /// Milliseconds since it grew.
    var quiet: Int64
    /// Milliseconds since a file of the partition was built; nil if none was.
    var sinceLast: Int64?
  }

  static func isWorthIt(_ tail: Tail, partitions: Int) -> Bool {
    if tail.records <= 0 { return false }
    if tail.bytes >= bytesMin { return true }
    guard tail.quiet >= quietMilliseconds || tail.sinceLast.map({ $0 >= ageMaxMilliseconds }) ?? false else { return false }
    return tail.sinceLast.map { $0 >= pause(partitions: partitions) } ?? true
  }

  /// The first of the files, whose records are given in order, that a new one of `tail` records takes up; their number for none.
  static func firstTaken(by tail: Int64, of files: [Int64]) -> Int {
    var size = tail
    var first = files.count
    while first >= 3, files[first - 3..<first].allSatisfy({ $0 <= 2 * size }) {
      size += files[first - 3..<first].reduce(0, +)
      first -= 3
    }
    return first
  }
}
