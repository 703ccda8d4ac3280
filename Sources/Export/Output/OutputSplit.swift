internal import Query

/// How an export becomes several files, in the folders `topic=…/date=…` that other tools read as columns.
///
/// A file has records of one partition, and the name `PARTITION-FIRSTOFFSET`. By time each record lies in the folder of its own
/// timestamp (UTC), however late it came.
public struct OutputSplit: Sendable, Hashable {
  public enum Time: String, Sendable, CaseIterable { case hour, day, month }

  public var time: Time?
  /// Bytes of a file, about.
  public var bytes: Int64?

  public init(time: Time?, bytes: Int64?) {
    self.time = time
    self.bytes = bytes
  }

  /// What other tools have as the name of a folder for NULL.
  private static let noTime = "__HIVE_DEFAULT_PARTITION__"

  /// What readers of the folders have as columns beside those of the files.
  var folderNames: [String] {
    switch time {
    case nil: []
    case .month: ["month"]
    case .day: ["date"]
    case .hour: ["date", "hour"]
    }
  }

  /// The folder of a record's file.
  func place(of record: ExportRecord) -> String {
    let topic = "topic=\(record.part.topic)"
    guard let time else { return topic }
    let text = TimeText.text(record.timestamp) ?? Self.noTime
    let hasTime = text != Self.noTime
    switch time {
    case .month: return "\(topic)/month=\(hasTime ? String(text.prefix(7)) : text)"
    case .day: return "\(topic)/date=\(hasTime ? String(text.prefix(10)) : text)"
    case .hour:
      return "\(topic)/date=\(hasTime ? "\(text.prefix(10))/hour=\(text.dropFirst(11).prefix(2))" : "\(text)/hour=\(text)")"
    }
  }

  func fileName(of record: ExportRecord, _ format: ExportFormat) -> String {
    func padded(_ number: Int64, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    return "\(padded(Int64(record.part.partition), 5))-\(padded(record.offset, 20)).\(format.fileExtension)"
  }
}
