import Model
import Testing

@testable import KafkaClient

@Suite("Where records and partitions go")
struct AssignmentTests {
  @Test(
    "a key's hash is that of Kafka's own clients",
    arguments: [
      ("21", -973_932_308), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536),
      ("a-little-bit-longer-string", -1_486_304_829), ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
      ("abc", 479_470_107),
    ] as [(String, Int32)])
  func murmur2(_ key: String, _ hash: Int32) {
    #expect(Array(key.utf8).withUnsafeBytes { Murmur2.hash($0) } == hash)
  }

  @Test("records without a key stay in a partition until its batch is full")
  func sticky() {
    var partitioner = Partitioner(partitionCount: 3, start: 5)
    #expect(partitioner.partitionWithoutKey == 2)
    #expect(partitioner.partitionWithoutKey == 2)
    partitioner.batchFilled()
    #expect(partitioner.partitionWithoutKey == 0)
  }

  @Test("range: neighbouring partitions to each member, the first ones get one more")
  func range() {
    let assignment = RangeAssignor.assign(
      subscriptions: ["b": ["t", "u"], "a": ["t"], "c": ["t", "gone"]], partitionCounts: ["t": 7, "u": 2])
    func partitions(_ member: String, _ topic: String) -> [Int32] {
      assignment[member]!.filter { $0.topic == topic }.map(\.partition)
    }
    #expect(partitions("a", "t") == [0, 1, 2])
    #expect(partitions("b", "t") == [3, 4])
    #expect(partitions("c", "t") == [5, 6])
    #expect(partitions("b", "u") == [0, 1])
    #expect(assignment["c"]!.count == 2)
  }

  @Test("range: every partition has one reader, for any number of members")
  func rangeCoversAll() {
    for memberCount in 1...5 {
      for count in 0...12 {
        let subscriptions = Dictionary(uniqueKeysWithValues: (0..<memberCount).map { ("m\($0)", ["t"]) })
        let assignment = RangeAssignor.assign(subscriptions: subscriptions, partitionCounts: ["t": Int32(count)])
        #expect(assignment.values.flatMap { $0 }.map(\.partition).sorted() == (0..<count).map(Int32.init))
        #expect(assignment.count == memberCount)
      }
    }
  }

  @Test(
    "addresses",
    arguments: [
      ("localhost", "localhost:9092"), ("10.0.0.1:19092", "10.0.0.1:19092"), ("[::1]:1", "[::1]:1"), ("[::1]", "[::1]:9092"),
    ])
  func addresses(_ text: String, _ expected: String) throws {
    #expect(try BrokerAddress(parsing: text).description == expected)
  }

  @Test(
    "what is no address is refused",
    arguments: ["", ":1", "a:", "a:0", "a:65536", "a:x", "a:+1", "::1", "[::1", "[::1]9", "http://a:1", "a b:1"])
  func badAddresses(_ text: String) {
    #expect(throws: KafkaClientError.self) { try BrokerAddress(parsing: text) }
  }
}
