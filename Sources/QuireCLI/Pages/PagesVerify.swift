internal import Export
internal import Model
internal import Pages

/// Sums of a database, and how it differs from another, or from what a page set or a sum says that it should be.
struct PagesVerify {
  private let format: ListFormat
  private let output = OutputStream.standardOutput()

  init(format: ListFormat) { self.format = format }

  /// What a database is compared with.
  enum Other {
    case nothing
    case sum(DatabaseSum)
    /// A database, or a file of page sets, whose last one counts.
    case file(String)
  }

  /// - Throws: `FailureAlreadyTold` where they are not the same.
  func run(_ path: String, against other: Other) throws {
    let cut = try DatabaseCut(path)
    let owners = try cut.owners()
    let position = try cut.position(owners)
    var report = Report(path, cut, position)
    switch other {
    case .nothing: break
    case .sum(let sum): report.compare(with: sum, sum.description)
    case .file(let file) where try PageSetFile.isOne(file):
      var sets = try PageSetFile(file)
      var last: PageSet?
      while let set = try sets.next() { last = set }
      guard let last else { throw CommandFailure("'\(file)' has no page set") }
      report.compare(with: last.header, of: file)
    case .file(let file):
      let second = try DatabaseCut(file)
      let secondOwners = try second.owners()
      report.compare(with: Report(file, second, try second.position(secondOwners)), owners, secondOwners)
    }
    switch format {
    case .table: try output.write(report.text)
    case .json: try output.line(report.json.text)
    }
    try output.flush()
    if !report.isSame { throw FailureAlreadyTold() }
  }

  private struct Report {
    let path: String
    let position: CommitPosition?
    let sums: PageSums
    let commitsInLog: Int
    var other: JSON = .null
    var words: [String] = []
    var isSame = true
    var differences: [(page: PageNumber, owner: String)] = []
    /// The difference may be that of two moments rather than of two databases.
    var mayBeLater = false

    init(_ path: String, _ cut: DatabaseCut, _ position: CommitPosition?) {
      self.path = path
      self.position = position
      sums = cut.sums
      commitsInLog = cut.log?.commits.count ?? 0
      words = [line]
    }

    private var line: String {
      "\(path): sum \(sums.total) over \(sums.pageCount) pages of \(sums.pageSize.bytes) bytes"
        + (position.map { ", at \($0)" } ?? "") + (commitsInLog > 0 ? ", \(commitsInLog) commits in its WAL" : "")
    }

    private var description: JSON {
      .object([
        ("file", .string(path)), ("sum", .string("\(sums.total)")), ("pages", .number(sums.pageCount)),
        ("page_size", .number(sums.pageSize.bytes)), ("position", .optional(position.map { "\($0)" })),
        ("wal_commits", .number(commitsInLog)),
      ])
    }

    mutating func compare(with sum: DatabaseSum, _ name: String) {
      isSame = sums.total == sum
      other = .object([("sum", .string("\(sum)"))])
      words.append(isSame ? "the sum is \(name)" : "the sum is not \(name)")
    }

    mutating func compare(with header: PageSetHeader, of file: String) {
      let isElsewhere = position.map { $0 != header.after } ?? false
      isSame = header.sumAfter == sums.total && header.pageCountAfter == sums.pageCount && header.pageSize == sums.pageSize
      other = .object([
        ("file", .string(file)), ("sum", .string("\(header.sumAfter)")), ("pages", .number(header.pageCountAfter)),
        ("page_size", .number(header.pageSize.bytes)), ("position", .string("\(header.after)")),
      ])
      words.append("\(file): sum \(header.sumAfter) over \(header.pageCountAfter) pages, at \(header.after)")
      words.append(
        isSame
          ? "the database is what the last page set made"
          : isElsewhere ? "they are at different commits" : "the database is not what the last page set made")
    }

    mutating func compare(with second: Report, _ owners: PageOwners, _ secondOwners: PageOwners) {
      other = second.description
      words.append(second.line)
      guard sums.pageSize == second.sums.pageSize else {
        isSame = false
        return words.append("their pages are of different sizes")
      }
      differences = sums.differences(from: second.sums).map { page in
        let mine = owners[page]
        let theirs = secondOwners[page]
        let owner =
          Int(page.rawValue) > sums.pageCount
          ? "\(theirs), only in the second"
          : Int(page.rawValue) > second.sums.pageCount
            ? "\(mine), only in the first" : mine == theirs ? "\(mine)" : "\(mine); in the second \(theirs)"
        return (page, owner)
      }
      isSame = differences.isEmpty
      mayBeLater = position != second.position
      if isSame {
        words.append("page for page the same")
      } else {
        let moment = position == nil ? "" : mayBeLater ? "; they are at different commits" : ", at the same commit"
        words.append("\(differences.count) pages differ\(moment)")
      }
    }

    var text: String {
      var text = words.map { $0 + "\n" }.joined()
      if differences.isEmpty { return text }
      var table = TextTable([("PAGES", .right), ("OF", .left), ("WHICH", .left)])
      var order: [String] = []
      var pages: [String: [UInt32]] = [:]
      for (page, owner) in differences {
        if pages[owner] == nil { order.append(owner) }
        pages[owner, default: []].append(page.rawValue)
      }
      for owner in order { table.row("\(pages[owner]!.count)", owner, PagesDump.ranges(pages[owner]!, atMost: 12)) }
      text += table.text
      return text
    }

    var json: JSON {
      guard case .object(let members) = description else { return .null }
      return .object(
        members + [
          ("compared_with", other), ("is_same", other == .null ? .null : .bool(isSame)),
          (
            "differing_pages",
            .array(
              differences.map { .object([("page", .number($0.page.rawValue)), ("of", .string($0.owner))]) })
          ),
        ])
    }
  }
}
