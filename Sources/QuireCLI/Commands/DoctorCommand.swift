internal import ArgumentParser
internal import Storage

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check every database of a data directory: pages, batch checksums, offsets, hashes of sealed segments.",
    discussion: """
      Prints a line for each damage (file, batch, offset) and exits with 1 if there is any.

        quire doctor --data-dir ./quire-data
      """)

  @Option(help: ArgumentHelp("The data directory; a node may be running on it.", valueName: "path"))
  var dataDir: String

  func run() async throws {
    Interruption.endsProcess()
    var status = StatusLine(sharesTerminal: false)
    let report = try Doctor.examine(dataDirectory: dataDir) { if status.isDue { status.show("examining \($0)") } }
    status.clear()
    let output = OutputStream.standardOutput()
    for damage in report.damage { try output.line("\(StorageError.damaged(damage))") }
    try output.flush()
    say(
      "\(report.databaseCount) databases, \(report.batchCount) batches, \(report.recordCount) records, "
        + "\(Progress.size(Int(report.byteCount))): " + (report.damage.isEmpty ? "no damage" : "\(report.damage.count) damaged"))
    if !report.damage.isEmpty { throw FailureAlreadyTold() }
  }
}
