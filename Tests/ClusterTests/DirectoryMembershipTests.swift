import Logging
import Metadata
import Model
import Storage
import TestSupport
import Testing

@testable import Cluster

@Suite("Whose a data directory is")
struct DirectoryMembershipTests {
  private func withStore(_ directory: String, _ body: (LogStore) async throws -> Void) async throws {
    let store = try LogStore.open(
      StoreOptions(dataDirectory: directory, nodeID: NodeID(1)),
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), now: { 1000 })
    do { try await body(store) } catch {
      try? store.close()
      throw error
    }
    try store.close()
  }

  private let kept = (Int32(0)..<2).map {
    KeptPartition(TopicPartition(topic: "plays", partition: $0), topicID: TopicID(high: 4, low: 2))
  }

  @Test("a new directory joins any cluster, stays in it, and does not serve alone again")
  func joins() async throws {
    try await withTemporaryDirectory { directory in
      try await withStore(directory) { store in
        let new = try DirectoryMembership(of: store.node)
        #expect(!new.isMember)
        #expect(new.objection(toJoining: "theirs") == nil)
        try DirectoryMembership.join("theirs", store.node)
      }
      try await withStore(directory) { store in
        let member = try DirectoryMembership(of: store.node)
        #expect(member.isMember)
        #expect(member.clusterID == "theirs")
        #expect(member.objection(toJoining: "theirs") == nil)
        #expect(member.objection(toJoining: "another")?.contains("theirs") == true)
      }
    }
  }

  @Test("topics of a node that was alone keep it from joining")
  func ownTopics() async throws {
    try await withTemporaryDirectory { directory in
      try await withStore(directory) { store in
        let cluster = try LocalClusterStore.open(
          store: store, clusterID: "c", nodeID: NodeID(1), settings: NodeSettings(), entropy: { UInt64.random(in: 0 ... .max) },
          now: { 1000 })
        try await cluster.createTopic(named: "plays", partitionCount: 1, configuration: [:])
        #expect(try DirectoryMembership(of: store.node).objection(toJoining: nil)?.contains("alone") == true)
        cluster.close()
      }
    }
  }

  @Test("what is kept is known to the next start, and does not pass for topics of a node that was alone")
  func notes() async throws {
    try await withTemporaryDirectory { directory in
      try await withStore(directory) { store in
        try DirectoryMembership.join("theirs", store.node)
        try KeptPartitions(store.node).add(kept, revision: 12)
      }
      try await withStore(directory) { store in
        let notes = KeptPartitions(store.node)
        #expect(try notes.load() == (Set(kept), 12))
        #expect(try DirectoryMembership(of: store.node).objection(toJoining: "theirs") == nil)
        try notes.remove([kept[0]])
        try notes.note(revision: 20)
        #expect(try notes.load() == ([kept[1]], 20))
        // The same name again, as another topic.
        let anew = KeptPartition(kept[0].name, topicID: TopicID(high: 9, low: 9))
        try notes.remove([kept[1]])
        try notes.add([anew], revision: 21)
        #expect(try notes.load().partitions == [anew])
      }
    }
  }
}
