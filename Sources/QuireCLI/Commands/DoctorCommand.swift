internal import ArgumentParser

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
    try await OfflineHistory.examine(dataDirectory: dataDir)
  }
}
