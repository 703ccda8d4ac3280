internal import ArgumentParser
internal import Storage

struct DoctorCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Check every database of a data directory: pages, batch checksums, offsets, hashes of sealed segments.",
    discussion: """
      Prints a line for each damage (file, batch, offsets, what to do) and exits with 1 if there is any. Reads only.

        quire doctor --data-dir ./quire-data
      """)

  @Option(help: ArgumentHelp("The data directory; a node may be running on it.", valueName: "path"))
  var dataDir: String

  func run() async throws {
    Interruption.endsProcess()
    let output = OutputStream.standardOutput()
    var failure: (any Error)?
    let summary = try Doctor.examine(dataDirectory: dataDir) { finding in
      do {
        try output.line("\(finding)")
        try output.flush()
      } catch { failure = error }
    }
    if let failure { throw failure }
    say("\(dataDir): \(summary)")
    if !summary.isHealthy { throw FailureAlreadyTold() }
  }
}
