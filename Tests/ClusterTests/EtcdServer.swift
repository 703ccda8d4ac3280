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

  /// Whether it says anything at all.
  var answers: Bool { post("kv/range", #"{"key":"AA=="}"#) != nil }

  /// Posts JSON as an administrator's curl would.
  ///
  /// - Returns: the whole answer, head and all; nil where there is none.
  @discardableResult
  func post(_ path: String, _ json: String) -> String? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(UInt16(client).bigEndian)
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let isConnected = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    guard isConnected else { return nil }
    let request =
      "POST /v3/\(path) HTTP/1.0\r\nHost: e\r\nContent-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n\r\n\(json)"
    guard write(descriptor, request, request.utf8.count) == request.utf8.count else { return nil }
    var answer: [UInt8] = []
    var bytes = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(descriptor, &bytes, bytes.count)
      if count <= 0 { break }
      answer += bytes[..<count]
    }
    return answer.isEmpty ? nil : String(decoding: answer, as: UTF8.self)
  }

  func pause() { process?.signal(SIGSTOP) }
  func goOn() { process?.signal(SIGCONT) }
}
