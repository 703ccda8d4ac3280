internal import NIOCore

/// How patient a peer is.
public struct PeerTiming: Hashable, Sendable {
  /// A peer of which nothing is heard for so long is taken for dead. Each sends something four times as often.
  public var deadAfter: Duration = .seconds(3)
  /// For connecting, and again for the greeting.
  public var greetingWithin: Duration = .seconds(3)
  /// A peer that takes nothing, or does not finish a frame, for so long is given up, though it lives.
  public var stalledAfter: Duration = .seconds(15)
  /// Between two attempts to connect, or to follow a partition: doubled each time from the first to the last, and less by up to a half.
  public var retryAfter: ClosedRange<Duration> = .milliseconds(100) ... .seconds(5)
  /// Between two tellings of how far a follower is behind.
  public var lagInterval: Duration = .seconds(1)

  public init() {}

  var pingInterval: TimeAmount { TimeAmount(deadAfter / 4) }
  /// How often a connection looks at the clock.
  var tickInterval: TimeAmount { min(pingInterval, TimeAmount(lagInterval)) }
}

/// When to try again.
struct RetryDelay {
  private let range: ClosedRange<Duration>
  private var next: Duration

  init(_ range: ClosedRange<Duration>) {
    self.range = range
    next = range.lowerBound
  }

  /// - Parameter fraction: of a half by which it is less, so that many do not come at once: 0 to 1.
  mutating func take(lessBy fraction: Double) -> TimeAmount {
    let delay = next
    next = min(range.upperBound, next * 2)
    return TimeAmount.nanoseconds(Int64(Double(TimeAmount(delay).nanoseconds) * (1 - fraction / 2)))
  }

  mutating func reset() { next = range.lowerBound }
}

/// Lets so many bytes a second through, and what a second's quarter has at once.
struct Throttle {
  /// 0 lets everything through.
  var bytesPerSecond: Int
  private var available: Double = 0
  private var filledAt: NIODeadline

  init(bytesPerSecond: Int, now: NIODeadline) {
    self.bytesPerSecond = bytesPerSecond
    filledAt = now
  }

  /// How long to wait before the next bytes; nil for not at all. What is taken may be more than there is: the next ones wait for it.
  mutating func wait(at now: NIODeadline) -> TimeAmount? {
    if bytesPerSecond <= 0 { return nil }
    let rate = Double(bytesPerSecond)
    available = min(available + Double((now - filledAt).nanoseconds) / 1e9 * rate, rate / 4)
    filledAt = now
    if available > 0 { return nil }
    return .nanoseconds(Int64((1 - available) / rate * 1e9) + 1)
  }

  mutating func take(_ byteCount: Int) {
    if bytesPerSecond > 0 { available -= Double(byteCount) }
  }
}
