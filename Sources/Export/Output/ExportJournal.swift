/// What is durable of an export, for whoever goes on with it.
///
/// Records below the position are in files that are complete or begun; those begun are listed with how many of their bytes count.
struct ExportJournal: Equatable {
  struct Part: Equatable {
    var topic: String
    var partition: Int32
    var offsets: Range<Int64>
  }
  /// A file that is still written.
  struct OpenFile: Equatable {
    var path: String
    var place: String
    var bytes: Int64
    var records: Int64
    var recordBytes: Int64
    var state: [UInt8]
  }
  /// A file that is complete, and has its name as soon as this journal is written.
  struct Ready: Equatable {
    var temporaryPath: String
    var path: String
  }

  /// What was asked for, in words of the one who asked.
  var request: [String]
  /// The declared columns that its files have.
  var fields: [ExportField]
  var parts: [Part]
  /// The part that is being exported, and the offset in it from which records are missing.
  var current: Int
  var next: Int64
  var records: Int64
  var bytes: Int64
  var open: [OpenFile]
  var ready: [Ready]

  /// What is still to be exported.
  var slices: [PartitionSlice] {
    parts.enumerated().map { index, part in
      let first = index < current ? part.offsets.upperBound : index == current ? next : part.offsets.lowerBound
      return PartitionSlice(
        topic: part.topic, partition: part.partition,
        offsets: min(max(first, part.offsets.lowerBound), part.offsets.upperBound)..<part.offsets.upperBound)
    }
  }

  private static let version = 1

  var encoded: [UInt8] {
    var bytes: [UInt8] = []
    let parts = parts.map { part in
      JSON.array([
        .string(part.topic), .number(part.partition), .number(part.offsets.lowerBound), .number(part.offsets.upperBound),
      ])
    }
    let open = open.map { file in
      JSON.array([
        .string(file.path), .string(file.place), .number(file.bytes), .number(file.records), .number(file.recordBytes),
        .string(Base64.encode(file.state)),
      ])
    }
    JSON.object([
      ("quire_export", .number(Self.version)), ("request", .array(request.map(JSON.string))),
      ("columns", .array(fields.map(\.json))), ("parts", .array(parts)),
      ("current", .number(current)), ("next", .number(next)), ("records", .number(records)), ("bytes", .number(self.bytes)),
      ("open", .array(open)),
      ("ready", .array(ready.map { .array([.string($0.temporaryPath), .string($0.path)]) })),
    ]).write(to: &bytes)
    bytes.append(0x0A)
    return bytes
  }
}

extension ExportJournal {
  /// Nil where the bytes are no journal.
  init?(_ bytes: [UInt8]) {
    guard let json = bytes.withUnsafeBytes({ try? JSONReader.read($0) }), json["quire_export"] == .number(Self.version),
      let request = json["request"]?.array?.map(\.string), let fields = json["columns"]?.array?.map(ExportField.init),
      let parts = json["parts"]?.array?.map(Part.init),
      let current = json["current"]?.integer, let next = json["next"]?.integer, let records = json["records"]?.integer,
      let total = json["bytes"]?.integer, let open = json["open"]?.array?.map(OpenFile.init),
      let ready = json["ready"]?.array?.map(Ready.init), !request.contains(nil), !fields.contains(nil), !parts.contains(nil),
      !open.contains(nil),
      !ready.contains(nil), (0...Int64(parts.count)).contains(current)
    else { return nil }
    self.init(
      request: request.compactMap(\.self), fields: fields.compactMap(\.self), parts: parts.compactMap(\.self),
      current: Int(current), next: next, records: records,
      bytes: total, open: open.compactMap(\.self), ready: ready.compactMap(\.self))
  }
}

extension ExportJournal.Part {
  fileprivate init?(_ json: JSON) {
    guard let members = json.array, members.count == 4, let topic = members[0].string,
      let partition = members[1].integer.flatMap(Int32.init(exactly:)), let first = members[2].integer,
      let behind = members[3].integer, first <= behind
    else { return nil }
    self.init(topic: topic, partition: partition, offsets: first..<behind)
  }
}

extension ExportJournal.OpenFile {
  fileprivate init?(_ json: JSON) {
    guard let members = json.array, members.count == 6, let path = members[0].string, let place = members[1].string,
      let bytes = members[2].integer, let records = members[3].integer, let recordBytes = members[4].integer,
      let state = members[5].string.flatMap(Base64.decode), bytes >= 0
    else { return nil }
    self.init(path: path, place: place, bytes: bytes, records: records, recordBytes: recordBytes, state: state)
  }
}

extension ExportJournal.Ready {
  init?(_ json: JSON) {
    guard let members = json.array, members.count == 2, let temporaryPath = members[0].string, let path = members[1].string
    else { return nil }
    self.init(temporaryPath: temporaryPath, path: path)
  }

  /// Gives the file its name, unless it has it already.
  func publish() throws(ExportError) {
    if FilePresence.exists(temporaryPath) {
      try OutputFile.publish(temporaryPath, as: path)
    } else if !FilePresence.exists(path) {
      throw .output(path: path, message: "it was written, and is gone")
    }
  }
}
