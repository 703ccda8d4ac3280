import Testing

@testable import Storage

@Suite("The pace of scans")
struct ScanPaceTests {
  private static let millisecond: Int64 = 1_000_000

  /// Nanoseconds that `count` scans worked in the second of two simulated seconds, each as soon as it may, beside lanes that are busy for
  /// a part of them.
  private func worked(_ pace: ScanPace, scans count: Int, load: Double) -> Int64 {
    var now: Int64 = 1_000 * Self.millisecond
    let middle = now + 1_000 * Self.millisecond
    let end = middle + 1_000 * Self.millisecond
    var free = Array(repeating: now, count: count)
    var total: Int64 = 0
    while now < end {
      pace.noteBusy(nanoseconds: Int64(load * Double(Self.millisecond)))
      for scan in free.indices where free[scan] <= now {
        if now >= middle { total += Self.millisecond }
        free[scan] = now + Self.millisecond + pace.take(Self.millisecond, now: now)
      }
      now += Self.millisecond
    }
    return total
  }

  @Test("nobody sleeps while the lanes have little to do")
  func idle() {
    let pace = ScanPace(processors: 2)
    #expect(worked(pace, scans: 3, load: 0.05) == 3_000 * Self.millisecond)
  }

  @Test("beside busy lanes all scans together get the floor, however many they are", arguments: [1, 4, 16])
  func floor(scans: Int) {
    let pace = ScanPace(processors: 2)
    let share = Double(worked(pace, scans: scans, load: 0.8)) / 1e9
    #expect(share >= 2 * ScanPace.floor * 0.8 && share <= 2 * ScanPace.floor * 1.2, "\(share) of a processor")
  }

  @Test("a short question is not kept waiting by busy lanes alone")
  func short() {
    let pace = ScanPace(processors: 2)
    _ = pace.take(0, now: 0)
    pace.noteBusy(nanoseconds: 90 * Self.millisecond)
    #expect(pace.take(10 * Self.millisecond, now: 100 * Self.millisecond) == 0)
    #expect(pace.take(100 * Self.millisecond, now: 101 * Self.millisecond) > 0)
  }

  @Test("scans have all of the machine again as soon as the appends are over")
  func after() {
    let pace = ScanPace(processors: 2)
    _ = worked(pace, scans: 4, load: 0.8)
    _ = pace.take(Self.millisecond, now: 3_100 * Self.millisecond)
    #expect(pace.take(500 * Self.millisecond, now: 3_200 * Self.millisecond) == 0)
  }
}
