internal import Glibc
internal import Query

/// Milliseconds since 1970.
@Sendable func wallClockMilliseconds() -> Int64 { WallClock.milliseconds }

/// Time of processors that this process has used.
func processorNanoseconds() -> Int64 {
  // Not `timespec()`: a C module of NIO owns the declaration too, and its members are then invisible here.
  var time: (seconds: Int, nanoseconds: Int) = (0, 0)
  withUnsafeMutableBytes(of: &time) { bytes in
    // Safe because: on 64-bit Linux a timespec is two 64-bit words, in this order.
    _ = clock_gettime(CLOCK_PROCESS_CPUTIME_ID, bytes.baseAddress!.assumingMemoryBound(to: timespec.self))
  }
  return Int64(time.seconds) * 1_000_000_000 + Int64(time.nanoseconds)
}
