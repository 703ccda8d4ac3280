internal import Glibc
internal import Storage

/// Keeps whoever reads files that nobody asked for off the disk most of the time: right after a start everything is read for the first
/// time, and questions that somebody waits for come first.
struct VerificationPace {
  private var began = monotonicNanoseconds()

  /// Of the time, reading takes a tenth.
  private static let rest: UInt64 = 9
  private static let pauseMicrosecondsMax: UInt64 = 100_000

  /// Waits as long as the reading since the last call asks for.
  ///
  /// - Returns: false at once when it is to stop.
  mutating func breathe(unless shouldStop: () -> Bool) -> Bool {
    if shouldStop() { return false }
    let spent = UInt64(max(0, monotonicNanoseconds() - began)) / 1000
    usleep(UInt32(min(spent * Self.rest, Self.pauseMicrosecondsMax)))
    began = monotonicNanoseconds()
    return !shouldStop()
  }
}
