internal import Glibc

/// What an open file is, and who may use it.
///
/// Here, and not beside whoever asks: where NIO's C modules are imported too, they own the declaration of `stat`, and its members are invisible.
public struct FileKind: Sendable {
  public let isRegular: Bool
  /// The low nine bits of the mode.
  public let permissions: UInt32

  /// Nil where the descriptor is not one; `errno` says why.
  public init?(_ descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return nil }
    isRegular = status.st_mode & S_IFMT == S_IFREG
    permissions = status.st_mode & 0o777
  }
}
