internal import Indexes
internal import Model
internal import Storage

/// The system tables of declared columns and their indexes.
struct IndexTables {
  let storage: StorageTables
  /// The topics, and what is declared for each.
  let topics: () -> [String]
  let columns: (String) -> [DeclaredColumn]
  let files: IndexFiles

  var tables: [SystemTable] {
    [
      SystemTable(
        "quire_columns",
        [
          .init("topic", .text, isKey: true), .init("name", .text), .init("type", .text), .init("expression", .text),
          .init("is_indexed", .integer), .init("is_fulltext", .integer),
        ], all: columnRows),
      SystemTable(
        "quire_indexes",
        [
          .init("topic", .text, isKey: true), .init("partition", .integer, isKey: true), .init("name", .text),
          .init("kind", .text), .init("covered_records", .integer), .init("uncovered_records", .integer),
          .init("files", .integer), .init("bytes", .integer),
        ], all: indexRows),
    ]
  }

  private func columnRows(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    let wanted = request.text("topic")
    return topics().filter { wanted == nil || wanted == $0 }.sorted().flatMap { topic in
      columns(topic).map { column in
        [
          .text(topic), .text(column.name), column.definition.map { .text($0.type.declaration) } ?? .null,
          column.definition.map { .text($0.expression) } ?? .null, .integer(column.isIndexed ? 1 : 0),
          .integer(column.isFullText ? 1 : 0),
        ]
      }
    }
  }

  /// One row for each index of each partition; the bytes of a file that has several are told for each.
  private func indexRows(_ request: SystemRequest) throws(HistoryError) -> [[SQLValue]] {
    var rows: [[SQLValue]] = []
    for partition in try storage.partitions(request).1 where partition.failure == nil {
      let indexes = columns(partition.topic).flatMap(\.indexes)
      if indexes.isEmpty { continue }
      try request.control.check()
      let listing = files.listing(of: partition)
      let contents = listing.names.compactMap { name in
        files.contents(of: name, listing.directory, topicID: partition.topicID, partition.partition).map { (name, $0) }
      }
      let start = partition.logStartOffset.rawValue
      let all = partition.highWatermark.rawValue - start
      for index in indexes {
        let mine = contents.filter { $0.1.definitions.contains(index.text) }
        var covered: Int64 = 0
        var end = start
        for (name, _) in mine {
          let high = min(name.to, partition.highWatermark.rawValue)
          covered += max(0, high - max(name.from, end))
          end = max(end, high)
        }
        rows.append([
          .text(partition.topic), .integer(Int64(partition.partition)), .text(index.column.name), .text(index.kind.rawValue),
          .integer(covered), .integer(max(0, all - covered)), .integer(Int64(mine.count)),
          .integer(mine.reduce(0) { $0 + $1.1.bytes }),
        ])
      }
    }
    return rows
  }
}
