internal import Glibc
internal import Model
internal import SQLite
public import Storage

/// Tells data directories apart: a node that comes with another one than it had has lost what was in that.
public struct DirectoryIdentity: Hashable, Sendable {
  /// Goes with the files, also to another machine.
  public var id: String
  /// This directory on this machine since its start; empty where that is not known. Two processes never have one place, as it is locked.
  var place: String?

  /// - Parameter path: of the data directory, which this process has locked.
  /// - Throws: what the node database says.
  public init(of node: NodeDatabase, path: String) throws(ClusterError) {
    do throws(StorageError) {
      id = try node.perform { connection throws(SQLiteError) in
        "\(try connection.integer("SELECT created_ms FROM identity") ?? 0)"
      }
    } catch { throw ClusterError(.kafkaStorageError, "the node database: \(error)") }
    place = Self.place(path)
  }

  init(id: String, place: String?) {
    self.id = id
    self.place = place
  }

  private static func place(_ path: String) -> String? {
    var status = stat()
    guard let boot = bootID(), stat(path, &status) == 0 else { return nil }
    return "\(boot)/\(status.st_dev)/\(status.st_ino)"
  }

  private static func bootID() -> String? {
    let descriptor = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
    if descriptor < 0 { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    return String(decoding: bytes[..<count].prefix { $0 != 0x0A }, as: UTF8.self)
  }
}
