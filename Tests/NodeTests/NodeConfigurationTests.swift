import Glibc
import Model
import TestSupport
import Testing

@testable import Node

@Suite struct NodeConfigurationTests {
  func resolve(
    _ flags: [(String, String)] = [], file: String? = nil, _ environment: [String: String] = [:]
  ) throws -> NodeConfiguration {
    try NodeConfiguration.resolve(
      flags: flags.map { (key: $0.0, value: $0.1) }, configurationFile: file, environment: environment)
  }

  func refusal(_ flags: [(String, String)] = [], _ environment: [String: String] = [:]) -> String {
    do {
      _ = try resolve(flags, environment)
      return "accepted"
    } catch { return "\(error)" }
  }

  @Test("what nobody sets has the documented default")
  func defaults() throws {
    let configuration = try resolve()
    #expect(configuration.listen == HostPort(host: "127.0.0.1", port: 9092))
    #expect(configuration.http == HostPort(host: "127.0.0.1", port: 8080))
    #expect(configuration.dataDirectory == "./quire-data")
    #expect(configuration.advertised == nil)
    #expect(configuration.settings.number("num.partitions") == 4)
    #expect(configuration.settings.flag("auto.create.topics.enable"))
    #expect(configuration.warnings.isEmpty)
  }

  @Test("a flag goes before the environment, that before the file, that before the default")
  func layers() throws {
    let path = "/tmp/quire-configuration-\(getpid()).properties"
    let text = "# of the house\n\nnum.partitions = 2\n log.retention.ms=1000\r\nquire.durability=os\n"
    let file = try #require(fopen(path, "w"))
    fputs(text, file)
    fclose(file)
    defer { unlink(path) }
    let configuration = try resolve(
      [("num.partitions", "9"), ("num.partitions", "8")], file: path,
      ["QUIRE_NUM_PARTITIONS": "3", "QUIRE_LOG_RETENTION_MS": "2000", "PATH": "/bin"])
    #expect(configuration.settings.number("num.partitions") == 8)
    #expect(configuration.settings.number("log.retention.ms") == 2000)
    #expect(configuration.settings.text("quire.durability") == "os")
    #expect(configuration.settings.topicConfiguration([:]).durability == .os)
  }

  @Test("short names of the command line and Kafka's own mean the same")
  func aliases() throws {
    let configuration = try resolve(
      [("listen", "127.0.0.1:1"), ("advertised.listeners", "PLAINTEXT://a.example:2"), ("data.dir", "/d"), ("http", "off")])
    #expect(configuration.listen.port == 1)
    #expect(configuration.advertised == HostPort(host: "a.example", port: 2))
    #expect(configuration.dataDirectory == "/d")
    #expect(configuration.http == nil)
    #expect(try resolve([], ["QUIRE_DURABILITY": "os", "QUIRE_DATA_DIR": "/e"]).dataDirectory == "/e")
  }

  @Test("an unknown key is refused with the nearest one, a bad value with its key")
  func refusals() {
    #expect(refusal([("num.partition", "1")]) == "unknown node configuration 'num.partition' (did you mean 'num.partitions'?)")
    #expect(refusal([("num.partitions", "0")]) == "invalid value '0' for num.partitions: it must be at least 1")
    #expect(refusal([("listen", "9092")]) == "invalid value '9092' for listeners: it must be HOST:PORT")
    #expect(refusal([("listen", "a:70000")]).contains("HOST:PORT"))
    #expect(refusal([], ["QUIRE_NODE_ID": "x"]) == "QUIRE_NODE_ID: invalid value 'x' for node.id: it must be a whole number")
  }

  @Test("a variable that is no setting is warned of, those of the client commands are not")
  func strangeVariables() throws {
    let warnings = try resolve([], ["QUIRE_BOOTSTRAP": "a:1", "QUIRE_SERVER": "b", "QUIRE_SERVICE_HOST": "c"]).warnings
    #expect(warnings == ["the environment variable QUIRE_SERVICE_HOST is no setting of a node"])
  }

  @Test("listening on every interface needs an address to tell, and says that it is open")
  func wildcard() throws {
    #expect(refusal([("listen", "0.0.0.0:9092")]).contains("--advertise HOST:PORT"))
    #expect(refusal([("listen", "[::]:9092")]).contains("--advertise HOST:PORT"))
    #expect(refusal([("listen", "0.0.0.0:9092"), ("advertise", "0.0.0.0:9092")]).contains("cannot be advertised"))
    let configuration = try resolve([("listen", "0.0.0.0:9092"), ("advertise", "a.example:9092"), ("http", "10.0.0.1:80")])
    #expect(configuration.warnings.count == 2)
    #expect(configuration.warnings.allSatisfy { $0.contains("without authentication") })
  }

  @Test(
    "lines that are no setting are refused with their number",
    arguments: [
      ("a=1\nnonsense\n", ":2: 'nonsense' is not KEY=VALUE"), ("listen=a:1\nlisteners=a:2", ":2: 'listeners' is set in line 1"),
    ])
  func files(text: String, complaint: String) {
    let error = #expect(throws: NodeStartError.self) { try ConfigurationFile.parse(text, path: "f") }
    #expect(error?.description.contains(complaint) == true)
  }

  @Test(
    "addresses are read with IPv6 in brackets",
    arguments: [
      ("[::1]:80", "::1", 80), ("a.b:0", "a.b", 0), ("PLAINTEXT://h:1", "h", 1), ("PLAINTEXT://:9092", "0.0.0.0", 9092),
    ])
  func addresses(text: String, host: String, port: Int) {
    #expect(HostPort(text) == HostPort(host: host, port: port))
  }

  @Test("what is no address is none", arguments: ["", ":1", "a", "a:", "a:x", "::1:80", "[a]:1", "SSL://a:1", "a b:1", "a:-1"])
  func noAddresses(text: String) { #expect(HostPort(text) == nil) }

  @Test("peers of other machines need a secret, and an address to connect to")
  func peers() throws {
    #expect(try resolve().peer == nil)
    #expect(try resolve([("peer", "127.0.0.1:0")]).peer?.advertised(bound: 7) == HostPort(host: "127.0.0.1", port: 7))
    #expect(refusal([("peer", "10.0.0.1:7000")]).contains("quire.peer.secret.file"))
    #expect(refusal([("peer", "0.0.0.0:7000"), ("quire.peer.secret.file", "/s")]).contains("quire.peer.advertised"))
    let told = try resolve([
      ("peer", "0.0.0.0:0"), ("quire.peer.secret.file", "/s"), ("quire.peer.advertised", "a.example:0"),
    ])
    #expect(told.peer?.advertised(bound: 7) == HostPort(host: "a.example", port: 7))
    #expect(told.peerSecretFile == "/s")
  }

  @Test("a secret that others may read, or guess, is none")
  func secrets() throws {
    let path = "/tmp/quire-secret-\(getpid())"
    defer { unlink(path) }
    func complaint(_ text: String, mode: mode_t) throws -> String? {
      unlink(path)
      let file = try #require(fopen(path, "w"))
      fputs(text, file)
      fclose(file)
      chmod(path, mode)
      do { return try PeerSecretFile.read(path) == nil ? "none" : nil } catch { return "\(error)" }
    }
    #expect(try PeerSecretFile.read(nil) == nil)
    #expect(try complaint("0123456789abcdef\n", mode: 0o600) == nil)
    #expect(try complaint("0123456789abcdef\n", mode: 0o644)?.contains("chmod 600 \(path)") == true)
    #expect(try complaint("0123456789abcde\n", mode: 0o600)?.contains("shorter than 16 bytes") == true)
    unlink(path)
    #expect(throws: NodeStartError.self) { try PeerSecretFile.read(path) }
  }
}
