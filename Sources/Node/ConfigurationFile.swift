import Glibc
import Model

/// A file of `key=value` lines; `#` begins a comment line, blank lines and blanks around key and value do not count.
enum ConfigurationFile {
  struct Line: Hashable {
    var number: Int
    var key: String
    var value: String
  }

  /// A configuration is a page or two.
  static let bytesMax = 1 << 20

  static func read(_ path: String) throws(NodeStartError) -> [Line] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw NodeStartError(.configuration, "the configuration file \(path) cannot be read: \(errorText(errno))")
    }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count == 0 { break }
      if count < 0 {
        if errno == EINTR { continue }
        throw NodeStartError(.configuration, "the configuration file \(path) cannot be read: \(errorText(errno))")
      }
      bytes += chunk[..<count]
      if bytes.count > bytesMax { throw NodeStartError(.configuration, "the configuration file \(path) is larger than 1 MiB") }
    }
    return try parse(String(decoding: bytes, as: UTF8.self), path: path)
  }

  static func parse(_ text: String, path: String) throws(NodeStartError) -> [Line] {
    var lines: [Line] = []
    var numbers: [String: Int] = [:]
    // By bytes: a carriage return and a line feed are one Character, which is not "\n".
    for (index, raw) in text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
      let number = index + 1
      let line = ConfigurationKey.normalized(String(decoding: raw, as: UTF8.self))
      if line.isEmpty || line.hasPrefix("#") { continue }
      guard let equals = line.firstIndex(of: "=") else {
        throw NodeStartError(.configuration, "\(path):\(number): '\(line)' is not KEY=VALUE")
      }
      let key = ConfigurationKey.normalized(String(line[..<equals]))
      let meaning = ConfigurationKey.nodeKey(named: key)?.name ?? key
      if let earlier = numbers[meaning] {
        throw NodeStartError(.configuration, "\(path):\(number): '\(key)' is set in line \(earlier) already")
      }
      numbers[meaning] = number
      lines.append(
        Line(number: number, key: key, value: ConfigurationKey.normalized(String(line[line.index(after: equals)...]))))
    }
    return lines
  }
}

/// The operating system's words for an error number.
func errorText(_ number: CInt) -> String { String(cString: strerror(number)) }
