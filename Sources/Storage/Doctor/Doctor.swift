internal import Model
internal import SQLite

/// Checks a data directory from outside: every database, every batch, and that together they are whole.
///
/// Reads only, takes no lock of the node's and may run beside it. A database without a -wal is read as immutable, so that nothing is
/// left beside it; one with a -wal by a read-only connection that neither checkpoints nor removes it. What changes while it is
/// looked at (retention, roll, deletion) is looked at again before anything is said about it.
public enum Doctor {
  /// Examines everything under `dataDirectory`.
  ///
  /// Memory is bounded by the largest batch; read transactions in segments are ended every few MiB, so that a running node can start
  /// its WALs over. `PRAGMA integrity_check` is the exception: one read transaction of a segment's length.
  ///
  /// - Parameter report: called for each finding, in the order of the files.
  /// - Throws: only when the directory itself cannot be listed; what is wrong inside it is reported.
  public static func examine(
    dataDirectory: String, report: (Finding) -> Void
  ) throws(StorageError) -> Summary {
    let names = try FileSystem.list(dataDirectory)
    guard FileSystem.exists(dataDirectory) else { throw .system(call: "open", path: dataDirectory, number: noSuchFile) }
    var examination = Examination()
    let nodePath = "\(dataDirectory)/quire.db"
    var image = NodeImage()
    if names.contains("quire.db") {
      image = NodeExamination.examine(nodePath, into: &examination)
    } else {
      examination.found(
        Finding(
          nodePath, "there is no node database",
          remedy: "check that this is a data directory; without quire.db a node would take it for a new one"))
    }
    examination.flush(report)
    try examineCoordinator(dataDirectory, image, &examination, report)
    let directories = try FileSystem.list("\(dataDirectory)/topics")
    for name in directories {
      let partition = PartitionExamination(directory: "\(dataDirectory)/topics/\(name)", name: name, image: image)
      partition.examine(into: &examination)
      examination.flush(report)
    }
    // The coordinator's shards lie elsewhere.
    let kept = image.partitions.keys.filter { $0.topic != CoordinatorTopic.name }
    let missing = kept.filter { !directories.contains($0.description) }.sorted()
    if !missing.isEmpty {
      // Topics may have been deleted since the image was read.
      var unheard = Examination()
      let now = NodeExamination.examine(nodePath, into: &unheard)
      for partition in missing where now.partitions[partition] != nil {
        examination.found(
          Finding(
            "\(dataDirectory)/topics/\(partition)", "quire.db names this partition, but it has no directory",
            remedy: "restore the directory from a copy, or delete the topic"))
      }
      examination.flush(report)
    }
    return examination.summary
  }

  private static func examineCoordinator(
    _ dataDirectory: String, _ image: NodeImage, _ examination: inout Examination, _ report: (Finding) -> Void
  ) throws(StorageError) {
    let coordinator = CoordinatorFiles.directory(in: dataDirectory)
    // What an earlier release left and no node has taken over yet.
    for name in try FileSystem.list(coordinator) where name.hasSuffix(".db") {
      _ = examination.database("\(coordinator)/\(name)", .coordinator) { (_) throws(SQLiteError) in }
      examination.flush(report)
    }
    let shards = try CoordinatorFiles.shards(in: dataDirectory)
    for shard in shards {
      let name = CoordinatorTopic.partition(shard)
      PartitionExamination(directory: CoordinatorFiles.directory(of: shard, in: dataDirectory), name: "\(name)", image: image)
        .examine(into: &examination)
      examination.flush(report)
    }
    for shard in image.shards.keys.sorted() where !shards.contains(shard) {
      examination.found(
        Finding(
          CoordinatorFiles.directory(of: shard, in: dataDirectory),
          "quire.db knows of groups in this shard, but it has no directory",
          remedy: "restore the directory from a copy; without it a node begins with an empty one"))
    }
    examination.flush(report)
  }

  /// ENOENT.
  private static let noSuchFile: CInt = 2
}
