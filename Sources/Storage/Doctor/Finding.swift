public import Model

extension Doctor {
  /// One thing that is not as it should be.
  public struct Finding: Sendable, Hashable {
    public enum Severity: String, Sendable, Hashable {
      /// Something that was written is not there, or not as it was written.
      case damage
      /// Nothing is lost: a file that a crash or a copy left behind.
      case notice
    }

    public var severity: Severity
    /// The path of the file or directory.
    public var file: String
    /// Base offset of the record batch, where it is about one.
    public var batch: Offset?
    /// The offsets that cannot be relied on, first and last, where they are known.
    public var offsets: ClosedRange<Offset>?
    public var problem: String
    /// What a person can do about it.
    public var remedy: String

    /// A damage.
    init(
      _ file: String, batch: Int64? = nil, offsets: ClosedRange<Int64>? = nil, _ problem: String, remedy: String
    ) {
      severity = .damage
      self.file = file
      self.batch = batch.map { Offset($0) }
      self.offsets = offsets.map { Offset($0.lowerBound)...Offset($0.upperBound) }
      self.problem = problem
      self.remedy = remedy
    }

    static func notice(_ file: String, _ problem: String, remedy: String) -> Finding {
      var finding = Finding(file, problem, remedy: remedy)
      finding.severity = .notice
      return finding
    }
  }

  /// What was looked at, and how it was.
  public struct Summary: Sendable, Hashable {
    public var databases = 0
    public var partitions = 0
    public var batches = 0
    public var records = 0
    /// Bytes of the record batches, as stored.
    public var batchBytes = 0
    public var damages = 0
    public var notices = 0
    /// Nothing is damaged; there may be notices.
    public var isHealthy: Bool { damages == 0 }

    static func += (sum: inout Summary, part: Summary) {
      sum.databases += part.databases
      sum.partitions += part.partitions
      sum.batches += part.batches
      sum.records += part.records
      sum.batchBytes += part.batchBytes
      sum.damages += part.damages
      sum.notices += part.notices
    }
  }
}

extension Doctor.Finding: CustomStringConvertible {
  /// One line.
  public var description: String {
    var line = "\(severity.rawValue): \(file)"
    if let batch { line += ", batch \(batch)" }
    if let offsets {
      let isOne = offsets.lowerBound == offsets.upperBound
      line += isOne ? ", offset \(offsets.lowerBound)" : ", offsets \(offsets.lowerBound) to \(offsets.upperBound)"
    }
    return line + ": \(problem); \(remedy)"
  }
}

extension Doctor.Summary: CustomStringConvertible {
  public var description: String {
    let found = isHealthy ? "no damage" : "\(damages) \(damages == 1 ? "damage" : "damages")"
    let left = notices == 0 ? "" : ", \(notices) \(notices == 1 ? "notice" : "notices")"
    return "\(databases) databases, \(partitions) partitions, \(batches) batches, \(records) records: \(found)\(left)"
  }
}
