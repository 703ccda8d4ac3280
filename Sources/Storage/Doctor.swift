internal import Model
internal import SQLite

/// What an examination of a data directory found.
public struct DoctorReport: Sendable {
  public var databaseCount = 0
  public var batchCount = 0
  public var recordCount: Int64 = 0
  public var byteCount: Int64 = 0
  public var damage: [StorageDamage] = []
}

/// Examines every database of a data directory: structure, owner and version, batch checksums, offsets, hashes of sealed files.
///
/// Reads only, also beside a running node. Everything is looked at, whatever was found before.
public enum Doctor {
  /// - Parameter progress: called with each file before it is examined.
  /// - Throws: only when there is no data directory to examine.
  public static func examine(
    dataDirectory: String, progress: (String) -> Void = { _ in }
  ) throws(StorageError) -> DoctorReport {
    SQLiteLibrary.configure()
    guard FileSystem.exists(dataDirectory + "/quire.db") else {
      throw .system(call: "open", path: dataDirectory + "/quire.db", number: noSuchFile)
    }
    var report = DoctorReport()
    progress(dataDirectory + "/quire.db")
    note(&report) { report throws(StorageError) in try examine(dataDirectory + "/quire.db", .node, &report) }
    for name in try FileSystem.list(dataDirectory + "/coordinator") where name.hasSuffix(".db") {
      let path = "\(dataDirectory)/coordinator/\(name)"
      progress(path)
      note(&report) { report throws(StorageError) in try examine(path, .coordinator, &report) }
    }
    for name in try FileSystem.list(dataDirectory + "/topics") where !name.contains(".deleted-") {
      note(&report) { report throws(StorageError) in
        try examinePartition("\(dataDirectory)/topics/\(name)", progress, &report)
      }
    }
    return report
  }

  /// Turns what `body` throws into a finding.
  private static func note(
    _ report: inout DoctorReport, _ body: (inout DoctorReport) throws(StorageError) -> Void
  ) {
    do throws(StorageError) { try body(&report) } catch {
      if case .damaged(let damage) = error {
        report.damage.append(damage)
      } else {
        report.damage.append(StorageDamage(file: "", baseOffset: nil, offset: nil, reason: "\(error)"))
      }
    }
  }

  /// SQLite's own check of one database, and whether it is one of ours.
  @discardableResult
  private static func examine(
    _ path: String, _ family: DatabaseFamily, isImmutable: Bool = false, _ report: inout DoctorReport
  ) throws(StorageError) -> Connection {
    report.databaseCount += 1
    do throws(StorageError) {
      let connection = try OfflineConnection.open(path, family, isImmutable: isImmutable)
      let complaints = try storage { () throws(SQLiteError) in
        var complaints: [String] = []
        let rows = try connection.prepare("PRAGMA integrity_check")
        while try rows.step() { if let text = rows.text(at: 0), text != "ok" { complaints.append(text) } }
        return complaints
      }
      for complaint in complaints {
        report.damage.append(
          StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "integrity_check: \(complaint)"))
      }
      return connection
    } catch {
      if case .damaged = error { throw error }
      throw .damaged(StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "\(error)"))
    }
  }

  private static func examinePartition(
    _ directory: String, _ progress: (String) -> Void, _ report: inout DoctorReport
  ) throws(StorageError) {
    guard let active = try OfflinePartition.open(directory) else {
      throw .damaged(StorageDamage(file: directory, baseOffset: nil, offset: nil, reason: "the partition has no segment"))
    }
    var position = active.state.segments.first?.baseOffset ?? active.state.baseOffset
    for record in active.state.segments {
      let path = "\(directory)/\(SegmentName(baseOffset: record.baseOffset, generation: record.generation).fileName)"
      progress(path)
      note(&report) { report throws(StorageError) in
        guard FileSystem.exists(path) else {
          // A running node may just have let go of it.
          let now = try OfflinePartition.open(directory)
          if now?.state.segments.contains(where: { $0.baseOffset == record.baseOffset }) ?? true {
            throw .damaged(
              StorageDamage(file: path, baseOffset: nil, offset: Offset(record.baseOffset), reason: "the segment is missing"))
          }
          return
        }
        if position != record.baseOffset {
          report.damage.append(
            StorageDamage(
              file: path, baseOffset: nil, offset: Offset(position), reason: "the segment before ends at \(position)"))
        }
        if let seal = record.seal, try FileHash.compute(path) != seal {
          report.damage.append(
            StorageDamage(file: path, baseOffset: nil, offset: nil, reason: "the file is not the one that was sealed"))
        }
        try examineBatches(path, isSealed: record.seal != nil, from: record.baseOffset, end: record.endOffset, &report)
      }
      position = record.endOffset
    }
    progress(active.path)
    if position != active.state.baseOffset {
      report.damage.append(
        StorageDamage(file: active.path, baseOffset: nil, offset: Offset(position), reason: "the segment before ends there"))
    }
    try examineBatches(active.path, isSealed: false, from: active.state.baseOffset, end: nil, &report)
  }

  /// Every batch of a segment: its CRC, that it is what its row says, and that it follows the one before.
  private static func examineBatches(
    _ path: String, isSealed: Bool, from base: Int64, end: Int64?, _ report: inout DoctorReport
  ) throws(StorageError) {
    let connection = try examine(path, .segment, isImmutable: isSealed, &report)
    var position = base
    var runningMax = Int64.min
    var found: [StorageDamage] = []
    func complain(_ offset: Int64, _ batch: Int64?, _ reason: String) {
      found.append(StorageDamage(file: path, baseOffset: batch.map { Offset($0) }, offset: Offset(offset), reason: reason))
    }
    var counted = report
    do throws(SQLiteError) {
      let rows = try connection.prepare(
        """
        SELECT base_offset, last_offset, running_max_timestamp, max_timestamp, record_count, data FROM record_batch
        ORDER BY base_offset
        """)
      while try rows.step() {
        let (baseOffset, lastOffset) = (rows.integer(at: 0), rows.integer(at: 1))
        let bytes = rows.borrowedBlob(at: 5)
        if baseOffset != position { complain(position, baseOffset, "the next batch is at \(baseOffset)") }
        if let complaint = BatchCheck.complaint(about: bytes, baseOffset: baseOffset, lastOffset: lastOffset) {
          complain(baseOffset, baseOffset, complaint)
        }
        if rows.integer(at: 2) < max(runningMax, rows.integer(at: 3)) {
          complain(baseOffset, baseOffset, "the running maximum of timestamps went back")
        }
        runningMax = max(runningMax, rows.integer(at: 2))
        counted.batchCount += 1
        counted.recordCount += rows.integer(at: 4)
        counted.byteCount += Int64(bytes.count)
        position = lastOffset + 1
      }
      if let end, end != position { complain(position, nil, "the segment ends at \(position), not at \(end)") }
    } catch { complain(position, nil, error.message) }
    counted.damage += found
    report = counted
  }
}
