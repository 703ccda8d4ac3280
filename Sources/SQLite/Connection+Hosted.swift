internal import CSQLite

/// Functions and modules that the host of a connection has.
struct TakenNames {
  /// By name in lower case, how many arguments; -1 is any number.
  var functions: [String: Set<Int>] = [:]
  var modules: Set<String> = []
}

extension Connection {
  /// The connection's own function of that name would be replaced by another.
  func isTaken(function name: String, _ argumentCount: Int) -> Bool {
    guard isHosted, let counts = takenNames.functions[name.lowercased()] else { return false }
    return counts.contains(argumentCount) || counts.contains(-1)
  }

  func isTaken(module name: String) -> Bool { isHosted && takenNames.modules.contains(name.lowercased()) }

  private var takenNames: TakenNames {
    if let taken { return taken }
    var names = TakenNames()
    // A host whose SQLite has not these pragmas gets our functions, where it has its own as well.
    names.modules = Set(((try? moduleNames()) ?? []).map { $0.lowercased() })
    if let rows = try? prepare("SELECT name, narg FROM pragma_function_list") {
      while (try? rows.step()) == true {
        names.functions[(rows.text(at: 0) ?? "").lowercased(), default: []].insert(Int(rows.integer(at: 1)))
      }
    }
    taken = names
    return names
  }

  /// Lets `CREATE VIRTUAL TABLE … USING name(…)` make tables; `make` gets the schema, the table's name and the arguments as written.
  public func registerTableMaker(
    _ name: String, _ make: @escaping ([String]) throws(VirtualTableError) -> VirtualTable
  ) throws(SQLiteError) {
    if isTaken(module: name) { return }
    let code = VirtualTableModule.register(name, on: handle, maker: VirtualTableMaker(make), isEponymous: false)
    if code != SQLITE_OK { throw error(code) }
  }

  /// Runs some thousand steps of SQLite's machine for nothing, during which it looks whether it was interrupted and calls the program's
  /// progress handler: for work within one step that takes long.
  ///
  /// - Returns: whether to stop.
  /// - Precondition: within a statement of the connection that runs.
  public func isInterrupted() -> Bool {
    do throws(SQLiteError) {
      let statement = try prepare(
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400) SELECT count(*) FROM n")
      _ = try statement.step()
      return false
    } catch {
      // Whatever else the program has against the statement is no wish to stop.
      return error.isInterrupt
    }
  }
}
