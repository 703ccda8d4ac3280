internal import Export
internal import Model
internal import Pages

/// What a -wal or a .pages file has, commit by commit.
struct PagesDump {
  private let format: ListFormat
  private let output = OutputStream.standardOutput()

  init(format: ListFormat) { self.format = format }

  /// - Throws: `FailureAlreadyTold` where something in the file is damaged.
  func run(_ path: String) throws {
    let isWhole: Bool
    if try PageSetFile.isOne(path) {
      isWhole = try sets(path)
    } else {
      let file = try OpenFile(path)
      switch try WALReader.header(read: file.read) {
      case .success(let header): isWhole = try log(file, header)
      case .failure(.short) where path.hasSuffix("-wal"):
        say("\(path): empty, nothing was committed to it")
        isWhole = true
      case .failure(let reason): throw CommandFailure("'\(path)' is no WAL and no file of page sets: \(reason)")
      }
    }
    try output.flush()
    if !isWhole { throw FailureAlreadyTold() }
  }

  private func log(_ file: OpenFile, _ header: WALHeader) throws -> Bool {
    var reader = WALReader(from: WALChain(header))
    var commits: [WALCommit] = []
    var end: WALReader.End
    while true {
      let outcome = try reader.next(read: file.read)
      if case .commit(let commit) = outcome {
        commits.append(commit)
        continue
      }
      guard case .end(let found) = outcome else { continue }
      end = found
      break
    }
    let later = try framesBehind(end, file, header)
    let salts = "\(hexadecimal(header.salts.first)) \(hexadecimal(header.salts.second))"
    let words: String
    var isWhole = true
    switch end {
    case .end(let uncommitted) where uncommitted > 0:
      words = "end, behind \(uncommitted) frames of a transaction that is not committed"
    case .end: words = "end"
    case .torn(let frame):
      isWhole = later == 0
      words =
        later == 0
        ? "frame \(frame) is not whole, as after a crash, or while it is written"
        : "frame \(frame) is damaged: \(later) frames of this log lie behind it, and SQLite ignores them"
    case .restarted: words = "begun anew while it was read; try again"
    }
    switch format {
    case .table:
      try output.line(
        "WAL of pages of \(header.pageSize.bytes) bytes, salts \(salts), checkpoint \(header.checkpointSequence), "
          + "\(header.hasBigEndianWords ? "big" : "little")-endian checksums")
      var table = TextTable([
        ("COMMIT", .right), ("FRAMES", .left), ("PAGES", .right), ("BYTES", .right), ("DATABASE PAGES", .right),
        ("CHANGED", .left),
      ])
      for (index, commit) in commits.enumerated() {
        table.row(
          "\(index + 1)", "\(commit.frames.lowerBound)-\(commit.frames.upperBound)", "\(commit.pages.count)",
          "\(commit.frames.count * header.frameBytes)", "\(commit.pageCount)", Self.ranges(commit.pages.map(\.page.rawValue)))
      }
      try output.write(table.text)
      try output.line(words)
    case .json:
      try output.line(
        JSON.object([
          ("file", .string(file.path)), ("kind", .string("wal")), ("page_size", .number(header.pageSize.bytes)),
          ("salts", .string(salts)), ("checkpoint", .number(header.checkpointSequence)),
          ("big_endian", .bool(header.hasBigEndianWords)),
          (
            "commits",
            .array(
              commits.map { commit in
                .object([
                  ("first_frame", .number(commit.frames.lowerBound)), ("last_frame", .number(commit.frames.upperBound)),
                  ("database_pages", .number(commit.pageCount)),
                  ("pages", .array(commit.pages.map { .number($0.page.rawValue) })),
                ])
              })
          ),
          ("is_valid", .bool(isWhole)), ("end", .string(words)),
        ]).text)
    }
    return isWhole
  }

  /// How many frames with this log's salts lie behind one that does not verify: some, where it is not the tail that was torn.
  private func framesBehind(_ end: WALReader.End, _ file: OpenFile, _ header: WALHeader) throws -> Int {
    guard case .torn(let torn) = end else { return 0 }
    var bytes = [UInt8](repeating: 0, count: WALHeader.frameHeaderByteCount)
    var count = 0
    var index = torn + 1
    while try bytes.withUnsafeMutableBytes({ try file.read(at: header.byteOffset(ofFrame: index), into: $0) }) == bytes.count {
      let words = [8, 12].map { start in bytes[start..<start + 4].reduce(0 as UInt32) { $0 << 8 | UInt32($1) } }
      if WALSalts(words[0], words[1]) == header.salts { count += 1 }
      index += 1
    }
    return count
  }

  private func sets(_ path: String) throws -> Bool {
    var file = try PageSetFile(path)
    var table = TextTable([
      ("SET", .right), ("FROM", .left), ("TO", .left), ("PAGES", .right), ("DELTAS", .right), ("BYTES", .right),
      ("DATABASE PAGES", .right), ("EVENTS", .left), ("SUM", .left), ("FOLLOWS", .left),
    ])
    var json: [JSON] = []
    var previous: PageSetHeader?
    var isChain = true
    while let set = try file.next() {
      let header = set.header
      let follows =
        header.isFullState ? "full state" : header.flags.contains(.resync) ? "resync" : Self.follows(previous, header)
      if follows == "no" { isChain = false }
      let deltas = set.entries.count { $0.kind != .whole }
      let events = header.events.map { "\($0.lowerBound)-\($0.upperBound)" } ?? ""
      table.row(
        "\(json.count + 1)", header.isFullState ? "" : "\(header.before)", "\(header.after)", "\(set.entries.count)",
        "\(deltas)",
        "\(set.encodedByteCount)", "\(header.pageCountAfter)", events, "\(header.sumAfter)", follows)
      json.append(
        .object([
          ("from", header.isFullState ? .null : .string("\(header.before)")), ("to", .string("\(header.after)")),
          ("page_size", .number(header.pageSize.bytes)), ("pages", .array(set.entries.map { .number($0.page.rawValue) })),
          ("deltas", .number(deltas)), ("bytes", .number(set.encodedByteCount)),
          ("database_pages_before", .number(header.pageCountBefore)), ("database_pages", .number(header.pageCountAfter)),
          ("sum_before", .string("\(header.sumBefore)")), ("sum", .string("\(header.sumAfter)")),
          ("is_resync", .bool(header.flags.contains(.resync))), ("follows", .bool(follows != "no")),
        ]))
      previous = header
    }
    switch format {
    case .table: try output.write(table.text)
    case .json:
      try output.line(
        JSON.object([
          ("file", .string(path)), ("kind", .string("page sets")), ("sets", .array(json)), ("is_valid", .bool(isChain)),
        ]).text)
    }
    return isChain
  }

  private static func follows(_ previous: PageSetHeader?, _ next: PageSetHeader) -> String {
    guard let previous else { return "" }
    let isNext =
      previous.after == next.before && previous.sumAfter == next.sumBefore && previous.pageCountAfter == next.pageCountBefore
    return isNext ? "yes" : "no"
  }

  /// `1, 3-5, 9`: some of them, where there are many.
  static func ranges(_ numbers: [UInt32], atMost: Int = 6) -> String {
    var ranges: [ClosedRange<UInt32>] = []
    for number in numbers {
      if let last = ranges.last, last.upperBound + 1 == number {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    let shown = ranges.prefix(atMost).map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
    return shown.joined(separator: ", ") + (ranges.count > atMost ? ", …" : "")
  }
}

/// Eight lower-case hexadecimal digits.
private func hexadecimal(_ value: UInt32) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: 8 - text.count) + text
}
