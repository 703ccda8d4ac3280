import Model
import Testing

@testable import QuireCLI

@Suite("What a mirror remembers and decides") struct MirrorMarkTests {
  @Test("committed offsets go forward, and back only with the source's")
  func commits() {
    func decide(_ source: Int64, earlier: Int64? = nil, copied: Int64 = 100, shift: Int64 = 0, target: Int64?) -> Int64? {
      MirroredCommit.decide(source: source, earlier: earlier, start: 10, copied: copied, shift: shift, target: target)
    }
    #expect(decide(50, target: nil) == 50)
    #expect(decide(50, target: 40) == 50)
    #expect(decide(50, target: 50) == nil)
    #expect(decide(50, target: 60) == nil)
    #expect(decide(50, earlier: 50, target: 60) == nil)
    #expect(decide(50, earlier: 80, target: 80) == 50)
    #expect(decide(500, target: 40) == 100)
    #expect(decide(3, target: nil) == 10)
    #expect(decide(50, shift: -45, target: nil) == 5)
    #expect(decide(50, shift: 1000, target: 1049) == 1050)
  }

  @Test("marks are read as they were written")
  func marks() throws {
    let shifts = MirrorShifts([0: 0, 12: -7, 3: 1 << 40])
    #expect(shifts.text == "0:0,3:1099511627776,12:-7")
    #expect(MirrorShifts(parsing: shifts.text) == shifts)
    #expect(MirrorShifts(parsing: "") == MirrorShifts())
    #expect(MirrorShifts(parsing: "0:x") == nil)
    let source = MirrorSource(cluster: "abc", topic: "a.b-c", topicID: TopicID(high: 1, low: 2))
    #expect(MirrorSource(source.text) == source)
    #expect(MirrorSource("a/b") == nil)
  }

  @Test("a mirror is fed by the topic it was begun with, and by no later one of that name")
  func identity() {
    let mine = MirrorSource(cluster: "c", topic: "t", topicID: TopicID(high: 1, low: 2))
    #expect(mine.complaint(about: mine) == nil)
    #expect(mine.complaint(about: MirrorSource(cluster: nil, topic: "t", topicID: .zero)) == nil)
    #expect(mine.complaint(about: MirrorSource(cluster: "d", topic: "t", topicID: .zero)) != nil)
    #expect(mine.complaint(about: MirrorSource(cluster: "c", topic: "u", topicID: .zero)) != nil)
    #expect(mine.complaint(about: MirrorSource(cluster: "c", topic: "t", topicID: TopicID(high: 1, low: 3))) != nil)
  }
}
