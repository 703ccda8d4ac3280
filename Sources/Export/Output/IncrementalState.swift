/// What an incremental export has brought away so far: for each partition the offset that is next.
///
/// Written after the output is durable and before it has its name: `pending` are the names that are still to be given. A process that
/// is killed before the state is written has exported nothing; one that is killed after it has exported everything, and the next one
/// gives the names.
public struct IncrementalState: Sendable, Equatable {
  struct Place: Hashable {
    var topic: String
    var partition: Int32
  }

  var next: [Place: Int64] = [:]
  var pending: [ExportJournal.Ready] = []
  /// The declared columns that the last export had; nil before the first.
  var fields: [ExportField]?

  private static let version = 1

  /// What is new to it: slices from where the last export ended.
  var slices: [PartitionSlice] {
    next.map { PartitionSlice(topic: $0.topic, partition: $0.partition, offsets: $1..<Int64.max) }
      .sorted { ($0.topic, $0.partition) < ($1.topic, $1.partition) }
  }

  var encoded: [UInt8] {
    let sorted = next.sorted { ($0.key.topic, $0.key.partition) < ($1.key.topic, $1.key.partition) }
    var bytes: [UInt8] = []
    let columns = fields.map { [("columns", JSON.array($0.map(\.json)))] } ?? []
    JSON.object(
      [
        ("quire_export_state", .number(Self.version)),
        ("next", .array(sorted.map { .array([.string($0.key.topic), .number($0.key.partition), .number($0.value)]) })),
        ("pending", .array(pending.map { .array([.string($0.temporaryPath), .string($0.path)]) })),
      ] + columns
    ).write(to: &bytes)
    bytes.append(0x0A)
    return bytes
  }

  init() {}

  /// Nil where the bytes are no state; none at all are the state of the very first export.
  init?(_ bytes: [UInt8]) {
    if bytes.isEmpty { return }
    guard let json = bytes.withUnsafeBytes({ try? JSONReader.read($0) }), json["quire_export_state"] == .number(Self.version),
      let next = json["next"]?.array, let pending = json["pending"]?.array
    else { return nil }
    for entry in next {
      guard let members = entry.array, members.count == 3, let topic = members[0].string,
        let partition = members[1].integer.flatMap(Int32.init(exactly:)), let offset = members[2].integer, offset >= 0
      else { return nil }
      self.next[Place(topic: topic, partition: partition)] = offset
    }
    if let columns = json["columns"]?.array {
      let known = columns.map(ExportField.init)
      if known.contains(nil) { return nil }
      fields = known.compactMap(\.self)
    }
    for entry in pending {
      guard let ready = ExportJournal.Ready(entry) else { return nil }
      self.pending.append(ready)
    }
  }
}
