internal import Glibc

/// A line on standard error that says what is being done; silent unless a person is there to see it.
struct StatusLine {
  private static let interval = Duration.milliseconds(200)

  private let isVisible: Bool
  private var shownAt = ContinuousClock.now
  private var isShown = false

  /// - Parameter sharesTerminal: whether data goes to standard output, so that a terminal there would show both.
  init(sharesTerminal: Bool) {
    isVisible = isatty(STDERR_FILENO) == 1 && !(sharesTerminal && isatty(STDOUT_FILENO) == 1)
  }

  /// Whether somebody sees the line and it is time for another.
  var isDue: Bool { isVisible && ContinuousClock.now - shownAt >= Self.interval }

  mutating func show(_ text: String) {
    shownAt = .now
    isShown = true
    print("\r\u{1B}[K\(text)")
  }

  /// Takes the line away again.
  mutating func clear() {
    if isShown { print("\r\u{1B}[K") }
    isShown = false
  }

  private func print(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
  }
}

/// Records and bytes of long work, on a status line while it goes on and as a summary at the end.
struct Progress {
  private var line: StatusLine
  private let verb: String
  private let start = ContinuousClock.now

  private(set) var recordCount = 0
  private(set) var byteCount = 0

  init(verb: String, sharesTerminal: Bool) {
    self.verb = verb
    line = StatusLine(sharesTerminal: sharesTerminal)
  }

  mutating func add(records: Int, bytes: Int) {
    recordCount += records
    byteCount += bytes
    if line.isDue { line.show("\(verb) \(summary)") }
  }

  mutating func clear() { line.clear() }

  /// Such as `1234567 records, 45.1 MB in 2.3 s`.
  var summary: String {
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return "\(recordCount) \(recordCount == 1 ? "record" : "records"), \(Self.size(byteCount)) in \(Self.tenths(seconds)) s"
  }

  static func size(_ bytes: Int) -> String {
    switch bytes {
    case ..<1000: "\(bytes) B"
    case ..<1_000_000: "\(tenths(Double(bytes) / 1e3)) kB"
    case ..<1_000_000_000: "\(tenths(Double(bytes) / 1e6)) MB"
    default: "\(tenths(Double(bytes) / 1e9)) GB"
    }
  }

  private static func tenths(_ value: Double) -> String {
    let rounded = Int((value * 10).rounded())
    return "\(rounded / 10).\(rounded % 10)"
  }
}
