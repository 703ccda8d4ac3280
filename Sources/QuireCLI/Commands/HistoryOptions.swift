internal import ArgumentParser

/// Where history is read: from a running node over HTTP, or from a data directory.
struct HistoryOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A running node (or QUIRE_SERVER; default http://127.0.0.1:8080).", valueName: "url"))
  var server: String?

  @Option(help: ArgumentHelp("Read this data directory instead; a node may be running on it.", valueName: "path"))
  var dataDir: String?

  enum Source: Sendable {
    case server(ServerAddress)
    case directory(String)
  }

  func validate() throws {
    if server != nil, dataDir != nil { throw ValidationError("--server and --data-dir exclude each other") }
    _ = try source()
  }

  func source() throws -> Source {
    if let dataDir { return .directory(dataDir) }
    do throws(ServerAddress.Failure) {
      return .server(try ServerAddress(parsing: server ?? environment("QUIRE_SERVER") ?? "http://127.0.0.1:8080"))
    } catch {
      throw ValidationError(error.reason)
    }
  }
}
