internal import Glibc

/// A line on standard error that shows how far long work has come; silent unless a person is there to see it.
struct Progress {
  private let isVisible: Bool
  private let verb: String
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var shownAt: ContinuousClock.Instant
  private var isShown = false

  private(set) var recordCount = 0
  private(set) var byteCount = 0

  /// - Parameter sharesTerminal: whether data goes to standard output, so that a terminal there would show both.
  init(verb: String, sharesTerminal: Bool) {
    self.verb = verb
    isVisible = isatty(STDERR_FILENO) == 1 && !(sharesTerminal && isatty(STDOUT_FILENO) == 1)
    start = clock.now
    shownAt = start
  }

  mutating func add(records: Int, bytes: Int) {
    recordCount += records
    byteCount += bytes
    guard isVisible else { return }
    let now = clock.now
    if now - shownAt < .milliseconds(200) { return }
    shownAt = now
    isShown = true
    print("\r\u{1B}[K\(verb) \(summary)")
  }

  /// Takes the line away again.
  mutating func clear() {
    if isShown { print("\r\u{1B}[K") }
    isShown = false
  }

  /// Such as `1234567 records, 45.1 MB in 2.3 s`.
  var summary: String {
    let seconds = Double((clock.now - start) / .milliseconds(100)) / 10
    return "\(recordCount) \(recordCount == 1 ? "record" : "records"), \(Self.size(byteCount)) in \(tenths(seconds)) s"
  }

  static func size(_ bytes: Int) -> String {
    switch bytes {
    case ..<1000: "\(bytes) B"
    case ..<1_000_000: "\(tenths(Double(bytes) / 1e3)) kB"
    case ..<1_000_000_000: "\(tenths(Double(bytes) / 1e6)) MB"
    default: "\(tenths(Double(bytes) / 1e9)) GB"
    }
  }

  private func print(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress!, $0.count) }
  }
}

private func tenths(_ value: Double) -> String {
  let rounded = Int((value * 10).rounded())
  return "\(rounded / 10).\(rounded % 10)"
}
