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
    mallopt(M_MMAP_THRESHOLD, 64 << 20)
    mallopt(M_TRIM_THRESHOLD, 128 << 20)
  }
}
