internal import ArgumentParser
internal import Export
internal import Glibc
internal import Pages

struct PagesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pages",
    abstract: "Look into databases page by page: what a WAL has, whether two copies are the same, what changed.",
    discussion: """
      Works on any SQLite database, and reads one that is open without locking or changing anything. A .pages file has page sets:
      the pages that commits changed, with checksums of the whole database before and after.

        quire pages dump 00000000000000000000.db-wal
        quire pages verify a/00000000000000000000.db --against b/00000000000000000000.db
        quire pages extract live.db --full --output base.pages
        quire pages apply base.pages copy.db
      """,
    subcommands: [Dump.self, Verify.self, Extract.self, Apply.self])

  struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Show the commits of a -wal, or the page sets of a .pages file.",
      discussion: """
        Exits with 1 if the file is damaged: frames that do not verify in front of others that do, page sets that do not follow one
        another. A tail that is not whole is none: it is what a crash leaves, and what a writer has not finished.

          quire pages dump live.db-wal --format json
        """)

    @Argument(help: "A -wal or a .pages file.")
    var file: String

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    func run() throws {
      Interruption.endsProcess()
      try PagesDump(format: format).run(file)
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print the checksum over all pages of a database; compare it with another database, a .pages file or a sum.",
      discussion: """
        Each database is taken at one commit, its WAL included. Exits with 1 if they are not the same page for page, and names the
        pages that differ, with the table or index that each belongs to. A segment tells at which commit it is; of others compare
        copies that nobody writes.

          quire pages verify a.db --against b.db
          quire pages verify copy.db --sum 3f9c21d07be40a55
        """)

    @Argument(help: "A database.")
    var database: String

    @Option(help: ArgumentHelp("Another database, or a .pages file, whose last set counts.", valueName: "file"))
    var against: String?

    @Option(help: ArgumentHelp("The sum it should have, 16 hexadecimal digits.", valueName: "sum"))
    var sum: String?

    @Option(help: ArgumentHelp("table or json.", valueName: "format"))
    var format: ListFormat = .table

    func validate() throws { _ = try other() }

    private func other() throws -> PagesVerify.Other {
      switch (against, sum) {
      case (nil, nil): return .nothing
      case (let file?, nil): return .file(file)
      case (nil, let text?):
        guard let sum = DatabaseSum(text) else { throw ValidationError("'\(text)' is no sum: 16 hexadecimal digits") }
        return .sum(sum)
      default: throw ValidationError("--against and --sum are two comparisons: give one")
      }
    }

    func run() throws {
      Interruption.endsProcess()
      try PagesVerify(format: format).run(database, against: try other())
    }
  }

  struct Extract: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write the commits of a database's WAL as page sets into a .pages file.",
      discussion: """
        Without --full a set for each commit in the WAL. Those in front of the last checkpoint are left out, and counted: the
        database that they changed is gone. The file has its name only when it is whole.

          quire pages extract live.db --output changes.pages
          quire pages extract live.db --full --output base.pages
        """)

    @Argument(help: "A database; it may be open.")
    var database: String

    @Option(help: ArgumentHelp("The file to write.", valueName: "path"))
    var output: String

    @Flag(help: "Every page, as one set that makes the database anew.")
    var full = false

    @Flag(help: "One set for all commits: the last version of each page.")
    var merged = false

    func validate() throws {
      if full, merged { throw ValidationError("--full is one set already: leave --merged out") }
    }

    func run() throws {
      Interruption.endsProcess()
      let extract = try PagesExtract(database)
      let file = try ReplacingFile(output)
      let summary = full ? try extract.fullState(to: file.file) : try extract.commits(to: file.file, merged: merged)
      try file.finish()
      if summary.missing > 0 {
        say("\(database): the first \(summary.missing) commits of the WAL are left out, a checkpoint has gone over them")
      }
      say("\(output): \(summary.sets) page sets, \(summary.bytes) bytes, up to \(summary.position)")
    }
  }

  struct Apply: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Apply the page sets of a .pages file to a copy of the database they are from.",
      discussion: """
        The database must be closed. It is refused, and stays as it is, unless it is at the commit, and has the sum, that the first
        set goes on from, and has the right sum after each. What comes out is written beside it, synced, and takes its place.

          quire pages apply changes.pages copy.db
        """)

    @Argument(help: "A .pages file.")
    var pages: String

    @Argument(help: "The database; it may be missing where the first set is a full state.")
    var database: String

    func run() throws {
      let summary = try PagesApply(database).run(pages)
      say(
        "\(database): \(summary.sets) page sets with \(summary.pages) pages applied, sum \(summary.sum)"
          + (summary.position.map { ", at \($0)" } ?? ""))
    }
  }
}
