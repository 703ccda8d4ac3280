/// A bar for work whose length is known: how far it is, how fast, and how long it will still take.
final class ProgressBar {
  private static let width = 24

  private let verb: String
  private let start = ContinuousClock.now
  private var line: StatusLine

  init(verb: String, sharesTerminal: Bool) {
    self.verb = verb
    line = StatusLine(sharesTerminal: sharesTerminal)
  }

  private var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }

  func show(records: Int64, bytes: Int64, done: Int64, all: Int64) {
    guard line.isDue else { return }
    line.show(text(records: records, bytes: bytes, done: done, all: all, seconds: seconds))
  }

  func text(records: Int64, bytes: Int64, done: Int64, all: Int64, seconds: Double) -> String {
    let rate = seconds > 0 ? Double(records) / seconds : 0
    var text = "\(verb) \(records) records, \(Progress.size(Int(bytes))), \(Int(rate))/s"
    guard all > 0 else { return text }
    let share = min(1, Double(done) / Double(all))
    let filled = Int(share * Double(Self.width))
    let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: Self.width - filled)
    text = "[\(bar)] \(Int(share * 100)) % \(text)"
    if share > 0.01, share < 1 { text += ", \(Self.duration(seconds * (1 - share) / share)) left" }
    return text
  }

  private static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    if whole < 60 { return "\(whole) s" }
    if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
  }

  func clear() { line.clear() }

  /// Such as `1234567 records, 45.1 MB in 2.3 s`.
  func summary(records: Int64, bytes: Int64) -> String {
    let tenths = Int((seconds * 10).rounded())
    return
      "\(verb) \(records) \(records == 1 ? "record" : "records"), \(Progress.size(Int(bytes))) in \(tenths / 10).\(tenths % 10) s"
  }
}
