internal import Glibc

/// Small questions to the file system.
enum FilePresence {
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  static func isRegular(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Makes a directory and those above it; each is durable in the one above.
  static func makeDirectories(_ path: String) throws(ExportError) {
    if path.isEmpty || isDirectory(path) { return }
    try makeDirectories(OutputFile.split(path).directory)
    if mkdir(path, 0o777) != 0 && errno != EEXIST { throw OutputFile.failure(path) }
    try OutputFile.syncDirectory(of: path)
  }

  /// Files below a directory, by their paths from there; folders whose names begin with a dot are not looked into, and no more is
  /// looked at once a file is found that has a name.
  static func files(under path: String) -> (named: [String], hidden: [String]) {
    var found: (named: [String], hidden: [String]) = ([], [])
    var folders = [""]
    while let folder = folders.popLast(), found.named.isEmpty {
      for name in names(in: path + "/" + folder) ?? [] {
        var status = stat()
        let isFolder = lstat("\(path)/\(folder)\(name)", &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
        if isFolder {
          if name.first != "." { folders.append("\(folder)\(name)/") }
        } else if name.first == "." {
          found.hidden.append(folder + name)
        } else {
          found.named.append(folder + name)
        }
      }
    }
    return found
  }

  /// The names in a directory, without `.` and `..`; nil where it cannot be read.
  static func names(in path: String) -> [String]? {
    guard let directory = opendir(path) else { return nil }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }
}
