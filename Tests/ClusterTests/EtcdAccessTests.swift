import Glibc
import Logging
import Metadata
import Model
import Synchronization
import TestSupport
import Testing

@testable import Cluster

/// An etcd that asks who one is, and one of which not every endpoint is there.
@Suite(.enabled(if: EtcdServer.binary != nil, "tools/install unpacks etcd")) struct EtcdAccessTests {
  private func options(
    _ endpoints: [String], _ credentials: (String, String)? = nil, prefix: String = "/quire/", mayFound: Bool = true
  ) -> EtcdClusterStore.Options {
    var options = EtcdClusterStore.Options(endpoints: endpoints)
    options.credentials = credentials.map { (name: $0.0, password: $0.1) }
    options.prefix = prefix
    options.mayFound = mayFound
    options.sessionSeconds = 10
    return options
  }

  private func open(_ options: EtcdClusterStore.Options) async throws(ClusterError) -> EtcdClusterStore {
    try await EtcdClusterStore.open(
      options, clusterID: "c", nodeID: NodeID(1), settings: NodeSettings(), entropy: { UInt64.random(in: .min ... .max) },
      now: { 1000 }, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
  }

  private func refusal(_ options: EtcdClusterStore.Options) async -> ClusterError? {
    do throws(ClusterError) {
      let store = try await open(options)
      store.close()
      return nil
    } catch { return error }
  }

  @Test("with a user and a password a node is let in; a wrong or missing one is refused in words, and not waited for")
  func credentials() async throws {
    let server = try EtcdServer()
    try await eventually(30, "etcd is there") { server.answers }
    // A role for the one prefix, as an operator would make it.
    #expect(server.post("auth/user/add", #"{"name":"root","password":"r"}"#)?.contains("200 OK") == true)
    #expect(server.post("auth/role/add", #"{"name":"root"}"#)?.contains("200 OK") == true)
    #expect(server.post("auth/user/grant", #"{"user":"root","role":"root"}"#)?.contains("200 OK") == true)
    #expect(server.post("auth/user/add", #"{"name":"quire","password":"a:b secret"}"#)?.contains("200 OK") == true)
    #expect(server.post("auth/role/add", #"{"name":"quire"}"#)?.contains("200 OK") == true)
    // /quire/ up to /quire0
    #expect(
      server.post(
        "auth/role/grant",
        #"{"name":"quire","perm":{"permType":"READWRITE","key":"L3F1aXJlLw==","range_end":"L3F1aXJlMA=="}}"#)?.contains(
          "200 OK") == true)
    #expect(server.post("auth/user/grant", #"{"user":"quire","role":"quire"}"#)?.contains("200 OK") == true)
    #expect(server.post("auth/enable", "{}")?.contains("200 OK") == true)

    for wrong in [("quire", "wrong"), ("nobody", "a:b secret")] {
      let error = await refusal(options([server.endpoint], wrong))
      #expect(
        error?.errorCode == .invalidConfig && error?.message.contains("authentication failed") == true,
        "\(String(describing: error))")
    }
    let nobody = await refusal(options([server.endpoint]))
    #expect(
      nobody?.errorCode == .invalidConfig && nobody?.message.contains("user name is empty") == true,
      "\(String(describing: nobody))")
    let elsewhere = await refusal(options([server.endpoint], ("quire", "a:b secret"), prefix: "/other/"))
    #expect(
      elsewhere?.errorCode == .invalidConfig && elsewhere?.message.contains("permission denied") == true,
      "\(String(describing: elsewhere))")

    let store = try await open(options([server.endpoint], ("quire", "a:b secret")))
    try await store.register(NodeImage(id: NodeID(1), host: "127.0.0.1", port: 9, rack: nil))
    try await store.createTopic(named: "a", partitionCount: 2, replicationFactor: 1, configuration: [], validateOnly: false)
    #expect(store.image.topics["a"]?.partitions.count == 2)
    // etcd has forgotten the token, as after a restart or five minutes.
    server.kill()
    try server.start()
    try await eventually(30, "etcd is back") { server.answers }
    try await eventually(30, "the node is let in again") { store.state.withLock { $0.keys.nodeRecords[NodeID(1)] } != nil }
    let deadline = ContinuousClock.now + .seconds(30)
    while true {
      do throws(ClusterError) {
        try await store.createTopic(named: "b", partitionCount: 1, replicationFactor: 1, configuration: [], validateOnly: false)
        break
      } catch {
        if error.errorCode == .topicAlreadyExists { break }
        guard ContinuousClock.now < deadline else { throw error }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
    try await eventually(30, "it hears of what it has changed") { store.image.topics["b"] != nil }
    store.close()
  }

  @Test("of several endpoints one may be missing, or say nothing")
  func endpoints() async throws {
    let server = try EtcdServer()
    let missing = "http://127.0.0.1:\(freePort())"
    try await eventually(30, "etcd is there") { server.answers }
    let silent = try await Listening()
    silent.mute()
    for other in [missing, "http://127.0.0.1:\(silent.port)"] {
      for endpoints in [[other, server.endpoint], [server.endpoint, other]] {
        let store = try await open(options(endpoints))
        try await store.register(NodeImage(id: NodeID(1), host: "127.0.0.1", port: 9, rack: nil))
        #expect(store.image.nodes[NodeID(1)] != nil)
        store.close()
      }
    }
    await silent.kill()
  }

  @Test("who may not found a cluster leaves nothing under a prefix where there is none")
  func wrongPrefix() async throws {
    let server = try EtcdServer()
    try await eventually(30, "etcd is there") { server.answers }
    let error = await refusal(options([server.endpoint], prefix: "/wrong/", mayFound: false))
    #expect(error?.errorCode == .invalidConfig && error?.message.contains("no cluster under /wrong/") == true)
    let client = EtcdClient(endpoints: [server.endpoint])
    #expect(try await client.entries(withPrefix: "/wrong/").entries.isEmpty)
    await client.close()
  }
}
