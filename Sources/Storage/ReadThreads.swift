/// The threads that may wait for the disk on somebody else's behalf.
///
/// Classes of work, each with threads of its own, so that none waits in line behind another: fetches and look-ups; what consumers will
/// ask for next; scans (SQL, export), which get a tenth of what a fetch or an append gets where both want a processor, and all of it where
/// nobody else does; the healing of partitions; and what nobody waits for, which runs when nobody else wants to.
final class ReadThreads: Sendable {
  typealias Work = WorkerThreads.Work

  /// Of threads for scans. Linux weighs it 110 against 1,024.
  private static let scanNiceness: CInt = 10

  private let reads: WorkerThreads
  private let ahead: WorkerThreads
  private let repairs = WorkerThreads("repair", countMax: 1)
  private let scans: WorkerThreads
  private let idle = SerialThread("idle", niceness: 19)

  init(count: Int, scanCount: Int) {
    reads = WorkerThreads("read", countMax: count)
    ahead = WorkerThreads("ahead", countMax: count)
    scans = WorkerThreads("scan", countMax: scanCount, niceness: Self.scanNiceness)
  }

  func submit(_ work: @escaping Work) { reads.submit(work) }

  /// For reading what a consumer has not asked for yet.
  func submitAhead(_ work: @escaping Work) { ahead.submit(work) }

  /// For copying segments whose WAL is not believed any more: their partition takes no records meanwhile.
  func submitRepair(_ work: @escaping Work) { repairs.submit(work) }

  func submitScan(_ work: @escaping Work) { scans.submit(work) }

  /// For work that nobody waits for.
  ///
  /// - Parameter orElse: called instead if it has not begun when the threads are stopped.
  func submitIdle(_ work: @escaping Work, orElse: @escaping Work) { idle.submit(work, orElse: orElse) }

  /// Finishes what was submitted, but for what nobody waits for, and ends the threads.
  func stop() {
    idle.stop(finishing: false)
    scans.stop()
    repairs.stop()
    ahead.stop()
    reads.stop()
  }
}
