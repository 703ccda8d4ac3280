internal import CEmbed

/// Files of the source tree that travel inside the binary.
public enum EmbeddedFiles {
  /// Their paths from the root of the source tree, in the order of the list.
  public static var paths: [String] { (0..<cembed_file_count()).map { String(cString: cembed_file_at($0).path) } }

  /// The bytes of the file at `path`; nil if it is not embedded.
  public static func bytes(of path: String) -> UnsafeRawBufferPointer? {
    for index in 0..<cembed_file_count() {
      let file = cembed_file_at(index)
      if String(cString: file.path) == path { return UnsafeRawBufferPointer(start: file.bytes, count: file.count) }
    }
    return nil
  }
}
