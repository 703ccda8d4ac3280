import HistorySupport
import SQLite
import Synchronization
import Testing

@testable import Query

/// A catalog whose history changes between looks.
private final class ChangingCatalog: Sendable {
  private let history: Mutex<MemoryHistory>
  private let looked = Mutex(0)

  init(partitions: Int, records: Int) {
    history = Mutex(Self.history(partitions, records))
  }

  static func history(_ partitions: Int, _ records: Int) -> MemoryHistory {
    var history = MemoryHistory()
    for partition in 0..<partitions {
      let batches = (0..<records).map { number in
        try! MemoryHistory.Batch([TestRecord(Int64(number), "\(partition) \(number)")], at: Int64(number))
      }
      history.add(
        PartitionExtent(topic: "t", partition: Int32(partition), logStartOffset: 0, highWatermark: Int64(records)), batches)
    }
    return history
  }

  var looks: Int { looked.withLock { $0 } }
  func become(partitions: Int, records: Int) { history.withLock { $0 = Self.history(partitions, records) } }
  func look() -> any HistoryCatalog {
    looked.withLock { $0 += 1 }
    return CutCatalog(source: history.withLock { $0 })
  }
}

@Suite("Topics on the connection of another program")
struct HostedTests {
  /// The program's connection, and what it has loaded.
  private func host(_ catalog: ChangingCatalog) throws -> Connection {
    let program = try Connection(path: ":memory:", mode: .create)
    let guest = Connection(hosted: program.handle)
    // As the extension has it: kept by what is registered.
    let asked = Asked(guest)
    let sql = HostedSQL { asked.connection.isInterrupted() }
    let tables = sql.tables { () throws(HistoryError) in catalog.look() }
    try guest.registerTableMaker("topic") { (words) throws(VirtualTableError) in try tables.make(words[1]) }
    try sql.registerFunctions(on: guest)
    try program.execute("CREATE VIRTUAL TABLE temp.t USING topic")
    return program
  }

  // Safe because: each test uses its connection from one thread.
  private final class Asked: @unchecked Sendable {
    let connection: Connection
    init(_ connection: Connection) { self.connection = connection }
  }

  @Test("each statement sees the history as it is when it begins, statements that overlap the same")
  func views() throws {
    let catalog = ChangingCatalog(partitions: 1, records: 3)
    let program = try host(catalog)
    #expect(try program.integer("SELECT count(*) FROM t") == 3)
    let underWay = try program.prepare("SELECT offset FROM t ORDER BY offset")
    #expect(try underWay.step())
    let looks = catalog.looks
    catalog.become(partitions: 1, records: 10)
    #expect(try program.integer("SELECT count(*) FROM t") == 3)
    #expect(catalog.looks == looks)
    var rows = 1
    while try underWay.step() { rows += 1 }
    underWay.reset()
    #expect(rows == 3)
    #expect(try program.integer("SELECT count(*) FROM t") == 10)
  }

  @Test("a statement that was prepared for one partition has its order when there are three")
  func growth() throws {
    let catalog = ChangingCatalog(partitions: 1, records: 3)
    let program = try host(catalog)
    let statement = try program.prepare("SELECT value FROM t ORDER BY partition, offset")
    func rows() throws -> [String] {
      var rows: [String] = []
      while try statement.step() { rows.append(statement.text(at: 0) ?? "") }
      statement.reset()
      return rows
    }
    #expect(try rows() == ["0 0", "0 1", "0 2"])
    catalog.become(partitions: 3, records: 2)
    #expect(try rows() == ["0 0", "0 1", "1 0", "1 1", "2 0", "2 1"])
  }

  @Test("the program's progress handler ends a scan that finds nothing, within a step of its statement")
  func progress() throws {
    let program = try host(ChangingCatalog(partitions: 2, records: 50))
    #expect(try program.integer("SELECT count(*) FROM t WHERE producer_id = 5") == 0)
    let again = try host(ChangingCatalog(partitions: 2, records: 50))
    // More steps than the statement itself has.
    again.setProgressHandler(steps: 1000) { true }
    #expect {
      _ = try again.integer("SELECT count(*) FROM t WHERE producer_id = 5")
    } throws: {
      ($0 as? SQLiteError)?.isInterrupt == true
    }
  }

  @Test("functions and modules that the program has stay the program's")
  func taken() throws {
    let program = try Connection(path: ":memory:", mode: .create)
    try program.registerFunction("median", argumentCount: 1) { (_, result) throws(VirtualTableError) in result.set(Int64(42)) }
    let guest = Connection(hosted: program.handle)
    try HostedSQL { false }.registerFunctions(on: guest)
    #expect(try program.integer("SELECT median(1)") == 42)
    #expect(try program.text("SELECT to_iso(0)") == "1970-01-01T00:00:00.000Z")
    #expect(try program.integer("SELECT count(*) FROM pragma_function_list WHERE name = 'instr' AND builtin") == 1)
    try guest.registerTable("json_each") { () throws(VirtualTableError) in throw .failed("not this one") }
    #expect(try program.integer("SELECT count(*) FROM json_each('[1,2]')") == 2)
  }
}
