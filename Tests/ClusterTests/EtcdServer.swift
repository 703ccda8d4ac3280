import Glibc
import TestSupport

/// One etcd of its own for a test, on free ports of the loopback address; gone with the object.
final class EtcdServer: @unchecked Sendable {
  // Safe because: one test has it, which does one thing at a time.
  private let directory: String
  private let client: Int
  private let peer: Int
  private var process: ChildProcess?

  var endpoint: String { "http://127.0.0.1:\(client)" }

  /// Where tools/install unpacks it; nil where it has not.
  static let binary: String? = {
    let path = getenv("QUIRE_ETCD").map { String(cString: $0) } ?? ".build/etcd/usr/bin/etcd"
    return access(path, X_OK) == 0 ? path : nil
  }()

  init() throws {
    directory = try makeTemporaryDirectory()
    client = freePort()
    peer = freePort()
    try start()
  }

  deinit {
    process?.end(SIGKILL)
    removeTree(directory)
  }

  func start() throws {
    let peers = "http://127.0.0.1:\(peer)"
    process = try ChildProcess(
      [
        Self.binary ?? "etcd", "--data-dir", directory + "/data", "--listen-client-urls", endpoint,
        "--advertise-client-urls", endpoint, "--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers,
        "--initial-cluster", "default=\(peers)",
      ], log: directory + "/log")
  }

  func kill() {
    process?.end(SIGKILL)
    process = nil
  }

  func pause() { process?.signal(SIGSTOP) }
  func goOn() { process?.signal(SIGCONT) }
}
