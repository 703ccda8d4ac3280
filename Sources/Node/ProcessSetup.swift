import CoreMetrics
import Gateway
import Glibc
import Logging
import SQLite
import Synchronization

/// What is set once for the whole process, before anything else of it runs.
enum ProcessSetup {
  private static let isDone = Mutex(false)
  static let metrics = MetricsRegistry()

  /// Later calls do nothing: the first node of a process decides how it logs.
  static func prepare(_ configuration: NodeConfiguration) {
    let isFirst = isDone.withLock { isDone in
      defer { isDone = true }
      return !isDone
    }
    guard isFirst else { return }
    let format: LogLines.Format = configuration.logsJSON ? .json : .text
    let level = Logger.Level(rawValue: configuration.logLevel) ?? .info
    LoggingSystem.bootstrap { label in LogLines(label: label, format: format, level: level) }
    MetricsSystem.bootstrap(metrics)
    tuneAllocator()
    SQLiteLibrary.configure()
    // A client that leaves while it is written to, and a closed standard error, are errors of that write, not the end of the node.
    signal(SIGPIPE, SIG_IGN)
  }

  /// Receive buffers are large and short-lived: with glibc's defaults each is mapped and unmapped anew, which cost a fifth of the
  /// produce throughput when it was measured.
  private static func tuneAllocator() {
    // Swift's Glibc module has no malloc.h: the function is looked up, and the numbers are that header's.
    guard let symbol = dlsym(nil, "mallopt") else { return }
    let mallopt = unsafeBitCast(symbol, to: (@convention(c) (CInt, CInt) -> CInt).self)
    let trimThreshold: CInt = -1
    let topPad: CInt = -2
    let mmapThreshold: CInt = -3
    // 32 MiB is the most glibc takes.
    _ = mallopt(mmapThreshold, 32 << 20)
    _ = mallopt(trimThreshold, 256 << 20)
    _ = mallopt(topPad, 16 << 20)
  }
}
