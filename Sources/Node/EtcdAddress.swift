import Cluster
import Model

/// The etcd that nodes share their cluster's image in.
public struct EtcdAddress: Hashable, Sendable {
  public var endpoints: [String]
  /// What the cluster's keys begin with.
  public var prefix: String
  /// A file with `NAME:PASSWORD`; nil where etcd asks for none.
  public var credentialsFile: String?

  /// - Returns: nil for a node that is alone.
  init?(_ settings: NodeSettings) {
    endpoints = ConfigurationKey.listItems(settings.text("quire.etcd")).map { $0.hasSuffix("/") ? String($0.dropLast()) : $0 }
    if endpoints.isEmpty { return nil }
    prefix = settings.text("quire.etcd.prefix")
    let path = settings.text("quire.etcd.credentials.file")
    credentialsFile = path.isEmpty ? nil : path
  }

  /// - Throws: `NodeStartError` that names the file; nothing of what is in it.
  func credentials() throws(NodeStartError) -> (name: String, password: String)? {
    guard let credentialsFile else { return nil }
    func failure(_ why: String) -> NodeStartError {
      NodeStartError(
        .configuration, "the credentials for etcd in \(credentialsFile) (quire.etcd.credentials.file) \(why)")
    }
    let bytes: [UInt8]
    do throws(PrivateFile.Refusal) { bytes = try PrivateFile.read(credentialsFile) } catch { throw failure(error.words) }
    let parts = String(decoding: bytes, as: UTF8.self).split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else { throw failure("are not NAME:PASSWORD") }
    return (String(parts[0]), String(parts[1]))
  }
}
