import Glibc

/// Calls of this process so far that read (`syscr`) or wrote (`syscw`), by `/proc/self/io`.
public func systemCalls(_ key: String) throws -> Int {
  let descriptor = open("/proc/self/io", O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw SystemCallError(call: "open /proc/self/io", number: errno) }
  defer { close(descriptor) }
  var bytes = [UInt8](repeating: 0, count: 4096)
  let count = read(descriptor, &bytes, bytes.count)
  let lines = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).split(separator: "\n")
  guard let line = lines.first(where: { $0.hasPrefix(key + ":") }), let value = Int(line.split(separator: " ")[1]) else {
    throw SystemCallError(call: "read /proc/self/io", number: errno)
  }
  return value
}
