internal import SQLite

/// The record that expressions are asked about.
final class RecordSlot {
  var record: (any RecordFields)?
  var topic = ""
  var partition: Int32 = 0
}

/// The columns of every topic over whatever record stands in the slot: one row that never ends, so that a statement over it is stepped
/// from record to record without being begun anew.
final class RecordTable: VirtualTable {
  fileprivate let slot: RecordSlot

  init(_ slot: RecordSlot) { self.slot = slot }

  override var declaration: String { TopicColumn.declaration(of: []) }

  override func plan(_ request: IndexRequest) {
    request.choose(plan: 0, description: "the record", cost: 1, rows: 1, isOrdered: false)
  }

  override func makeCursor() -> VirtualTableCursor { Cursor(slot) }

  private final class Cursor: VirtualTableCursor {
    private let slot: RecordSlot
    init(_ slot: RecordSlot) { self.slot = slot }

    override func filter(plan: Int, arguments: FilterArguments) { isAtEnd = false }

    override func column(_ index: Int, into result: ResultContext) {
      guard let column = TopicColumn(rawValue: index), let record = slot.record else { return result.setNull() }
      column.emit(record, topic: slot.topic, partition: slot.partition, into: result)
    }
  }
}
