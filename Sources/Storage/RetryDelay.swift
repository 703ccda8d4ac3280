/// When what failed is tried again: soon at first, then twice as late each time.
struct RetryDelay {
  /// Nanoseconds.
  private let first: Int64
  private let longest: Int64
  private var next: Int64
  /// Monotonic nanoseconds.
  private var due: Int64 = 0

  init(firstMilliseconds: Int64, longestMilliseconds: Int64) {
    first = firstMilliseconds * 1_000_000
    longest = longestMilliseconds * 1_000_000
    next = first
  }

  func isDue(at now: Int64 = monotonicNanoseconds()) -> Bool { now >= due }

  mutating func noteFailure(at now: Int64 = monotonicNanoseconds()) {
    due = now + next
    next = min(2 * next, longest)
  }

  mutating func reset() {
    due = 0
    next = first
  }
}
