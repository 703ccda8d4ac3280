import Glibc
import Logging
import Query

/// Writes log lines to standard error, as text or as JSON Lines.
///
/// ```
/// 2026-03-01T12:00:00.123Z info  storage: a segment was sealed partition=orders-0 base=4194304
/// {"time":"2026-03-01T12:00:00.123Z","level":"info","label":"storage","message":"a segment was sealed","partition":"orders-0"}
/// ```
struct LogLines: LogHandler {
  enum Format: Sendable {
    case text, json
  }

  let label: String
  let format: Format
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?
  /// One whole line, with its newline.
  var write: @Sendable (String) -> Void = Self.toStandardError
  /// Milliseconds since 1970.
  var now: @Sendable () -> Int64 = wallClockMilliseconds

  init(label: String, format: Format, level: Logger.Level) {
    self.label = label
    self.format = format
    self.logLevel = level
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var all = metadata
    if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
    if let own = event.metadata { all.merge(own) { _, new in new } }
    if let error = event.error { all["error"] = "\(error)" }
    let pairs = all.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") }
    let time = Self.timestamp(now())
    switch format {
    case .text: write(text(time, event, pairs))
    case .json: write(json(time, event, pairs))
    }
  }

  private func text(_ time: String, _ event: LogEvent, _ pairs: [(String, String)]) -> String {
    let level = "\(event.level)"
    let padding = String(repeating: " ", count: max(0, 7 - level.utf8.count))
    var line = "\(time) \(level)\(padding) \(label): \(Self.onOneLine("\(event.message)"))"
    for (key, value) in pairs {
      let isPlain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D && $0 != 0x7F }
      line += isPlain ? " \(key)=\(value)" : " \(key)=\(JSONText.string(value))"
    }
    return line + "\n"
  }

  private func json(_ time: String, _ event: LogEvent, _ pairs: [(String, String)]) -> String {
    var line = "{\"time\":\"\(time)\",\"level\":\"\(event.level)\",\"label\":\(JSONText.string(label))"
    line += ",\"message\":\(JSONText.string("\(event.message)"))"
    // A key of ours comes once, whatever a caller calls its metadata.
    for (key, value) in pairs where !["time", "level", "label", "message"].contains(key) {
      line += ",\(JSONText.string(key)):\(JSONText.string(value))"
    }
    return line + "}\n"
  }

  private static func onOneLine(_ text: String) -> String {
    text.utf8.contains(where: { $0 < 0x20 }) ? String(JSONText.string(text).dropFirst().dropLast()) : text
  }

  /// UTC with milliseconds, as ISO 8601 has it.
  static func timestamp(_ milliseconds: Int64) -> String {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func padded(_ number: Int, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    return
      "\(padded(Int(parts.tm_year) + 1900, 4))-\(padded(Int(parts.tm_mon) + 1, 2))-\(padded(Int(parts.tm_mday), 2))T"
      + "\(padded(Int(parts.tm_hour), 2)):\(padded(Int(parts.tm_min), 2)):\(padded(Int(parts.tm_sec), 2))."
      + "\(padded(Int(milliseconds % 1000), 3))Z"
  }

  /// One system call for a line, so that lines of several threads do not mix.
  @Sendable private static func toStandardError(_ line: String) {
    var line = line
    line.withUTF8 { bytes in
      var rest = UnsafeRawBufferPointer(bytes)
      while rest.count > 0 {
        let count = Glibc.write(STDERR_FILENO, rest.baseAddress, rest.count)
        if count <= 0 {
          if count < 0 && errno == EINTR { continue }
          return  // there is nowhere to complain
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[count...])
      }
    }
  }
}
