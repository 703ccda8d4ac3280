/// The threads that may wait for the disk on somebody else's behalf.
///
/// Three classes of work, each with threads of its own, so that none waits in line behind another: fetches and look-ups; scans (SQL,
/// export), which get a tenth of what a fetch or an append gets where both want a processor, and all of it where nobody else does; and
/// what nobody waits for, which runs when nobody else wants to.
final class ReadThreads: Sendable {
  typealias Work = WorkerThreads.Work

  /// Of threads for scans. Linux weighs it 110 against 1,024.
  private static let scanNiceness: CInt = 10

  private let reads: WorkerThreads
  private let scans: WorkerThreads
  private let idle = SerialThread("idle", niceness: 19)

  init(count: Int, scanCount: Int) {
    reads = WorkerThreads("read", countMax: count)
    scans = WorkerThreads("scan", countMax: scanCount, niceness: Self.scanNiceness)
  }

  func submit(_ work: @escaping Work) { reads.submit(work) }

  func submitScan(_ work: @escaping Work) { scans.submit(work) }

  /// For work that nobody waits for.
  ///
  /// - Parameter orElse: called instead if it has not begun when the threads are stopped.
  func submitIdle(_ work: @escaping Work, orElse: @escaping Work) { idle.submit(work, orElse: orElse) }

  /// Finishes what was submitted, but for what nobody waits for, and ends the threads.
  func stop() {
    idle.stop(finishing: false)
    scans.stop()
    reads.stop()
  }
}
