import Glibc
import Model
import Pages
import SQLite

/// A database that follows another by page sets that are appended to its -wal.
final class Replica {
  let appender: FrameAppender
  private(set) var sums: PageSums
  var position: CommitPosition = .zero

  /// Opens a database, and finds out by its sum where it stands.
  init(_ path: String, sets: [PageSet]) throws {
    appender = try FrameAppender(path: path)
    let pageCount = try appender.pageCount()
    sums = PageSums(pageSize: PageSize(bytes: appender.pageSize)!)
    var page = [UInt8](repeating: 0, count: appender.pageSize)
    try appender.begin(timeout: .seconds(20))
    for number in 1...UInt32(pageCount) {
      try page.withUnsafeMutableBytes { try appender.read(page: number, into: $0) }
      page.withUnsafeBytes { sums.append($0) }
    }
    appender.abandon()
    if let next = sets.first(where: { $0.header.sumBefore == sums.total && $0.header.pageCountBefore == pageCount }) {
      position = next.header.before
    } else if let last = sets.last, last.header.sumAfter == sums.total {
      position = last.header.after
    } else {
      throw Lost(sum: sums.total)
    }
  }

  struct Lost: Error { var sum: DatabaseSum }

  /// Appends a set as one commit.
  func apply(_ set: PageSet) throws -> PagesError? {
    // Two of three new pages may go straight into the file, in every second set.
    let count = UInt32(set.header.pageCountAfter)
    try appender.begin(timeout: .seconds(20), growingTo: set.header.after.commitSequence % 2 == 0 ? count : 0)
    do {
      let refusal = try sums.apply(set, at: &position) { number, room in
        try appender.read(page: number.rawValue, into: room)
      } write: { number, page in
        try appender.write(page: number.rawValue, page, isLasting: number.rawValue % 3 != 0)
      }
      if let refusal {
        appender.abandon()
        return refusal
      }
      try appender.commit(pageCount: UInt32(set.header.pageCountAfter))
      return nil
    } catch {
      appender.abandon()
      throw error
    }
  }
}
