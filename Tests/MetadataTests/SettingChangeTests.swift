import Metadata
import Model
import Testing

@Suite struct SettingChangeTests {
  func change(_ name: String, _ operation: SettingOperation, _ value: String? = nil) -> SettingChange {
    SettingChange(name: name, operation: operation, value: value)
  }

  func apply(_ changes: [SettingChange], to settings: [String: String] = [:]) throws(SettingRejection) -> [String: String] {
    try SettingScope.topic.applying(changes, to: settings) { $0.defaultValue }
  }

  @Test("set stores the value without blanks, delete removes it, the others stay")
  func setAndDelete() throws {
    let settings = try apply(
      [change("retention.ms", .set, " 5 "), change("segment.bytes", .delete)],
      to: ["segment.bytes": "4096", "compression.type": "zstd"])
    #expect(settings == ["retention.ms": "5", "compression.type": "zstd"])
  }

  @Test("appending a word that is there changes nothing, subtracting the last one is refused")
  func lists() throws {
    #expect(try apply([change("cleanup.policy", .append, "delete")]) == ["cleanup.policy": "delete"])
    let rejection = #expect(throws: SettingRejection.self) { try apply([change("cleanup.policy", .subtract, "delete")]) }
    #expect(rejection?.description.contains("cleanup.policy") == true)
    #expect(rejection?.isMalformed == false)
  }

  @Test("appending to what is not a list, the same key twice, and no value are refused")
  func malformed() {
    #expect(throws: SettingRejection.self) { try apply([change("retention.ms", .append, "1")]) }
    let twice = #expect(throws: SettingRejection.self) {
      try apply([change("retention.ms", .set, "1"), change("retention.ms", .delete)])
    }
    #expect(twice?.isMalformed == true)
    #expect(throws: SettingRejection.self) { try apply([change("retention.ms", .set)]) }
  }

  @Test("a name that is in no table is refused with the nearest one that is")
  func unknown() {
    let rejection = #expect(throws: SettingRejection.self) { try apply([change("retention.mss", .set, "1")]) }
    #expect(rejection?.description == "unknown topic configuration 'retention.mss' (did you mean 'retention.ms'?)")
    let far = #expect(throws: SettingRejection.self) { try apply([change("xyzzy", .set, "1")]) }
    #expect(far?.description == "unknown topic configuration 'xyzzy'")
  }

  @Test("a node's topic defaults change at run time, its listeners do not")
  func nodeScope() throws {
    let settings = try SettingScope.node.replacing(with: [(name: "log.retention.ms", value: "9")])
    #expect(settings == ["log.retention.ms": "9"])
    #expect(throws: SettingRejection.self) { try SettingScope.node.replacing(with: [(name: "listeners", value: "a:1")]) }
  }

  @Test(
    "values that do not pass their key's rule are refused",
    arguments: [
      ("retention.ms", "-2"), ("retention.ms", "soon"), ("cleanup.policy", "compact"), ("cleanup.policy", "delete,compact"),
      ("compression.type", "brotli"), ("min.insync.replicas", "0"), ("max.message.bytes", "2147483648"), ("segment.ms", "0"),
      ("message.timestamp.type", "createtime"), ("quire.durability", ""), ("segment.bytes", "10"),
    ])
  func values(name: String, value: String) {
    #expect(throws: SettingRejection.self) { try apply([change(name, .set, value)]) }
  }

  @Test("every topic key resolves: its default parses, and it has a default among the node's keys")
  func tables() throws {
    #expect(NodeSettings().topicConfiguration([:]) == TopicConfiguration())
    for key in ConfigurationKey.topicKeys {
      #expect(key.complaint(about: key.defaultValue) == nil)
      // Those belong to one topic.
      if key.name.hasPrefix("quire.mirror.") || key.name == "quire.columns" { continue }
      let nodeKey = try #require(key.nodeKey.flatMap { ConfigurationKey.nodeKey(named: $0) })
      #expect(nodeKey.isDynamic)
      #expect(nodeKey.defaultValue == key.defaultValue)
    }
    for key in ConfigurationKey.nodeKeys { #expect(key.complaint(about: key.defaultValue) == nil, "\(key.name)") }
  }

  @Test("a segment is asked for with Kafka's default size and gets the largest a file may have")
  func segmentBytesAreCapped() {
    #expect(
      NodeSettings().topicConfiguration(["segment.bytes": "1073741824"]).segmentBytes == Int64(Limits.segmentFileBytesMax))
  }
}
