internal import CSQLite

/// Makes a table of one module when a statement first names it.
final class VirtualTableMaker {
  /// Gets the words of CREATE VIRTUAL TABLE: the schema, the table's name, and what stands in the parentheses.
  let make: ([String]) throws(VirtualTableError) -> VirtualTable
  init(_ make: @escaping ([String]) throws(VirtualTableError) -> VirtualTable) { self.make = make }
}

/// The functions behind every virtual table. They hold no state: each takes its Swift object out of the structure SQLite gives it.
enum VirtualTableModule {
  /// Registers `maker` under `name`.
  ///
  /// - Parameter isEponymous: `name` is a table of the connection by that alone (eponymous-only: xCreate is null). This is as near as
  ///   SQLite comes to a look-up hook: nothing is made until a statement names the table. Otherwise tables are made by CREATE VIRTUAL
  ///   TABLE.
  static func register(_ name: String, on handle: OpaquePointer, maker: VirtualTableMaker, isEponymous: Bool) -> CInt {
    sqlite3_create_module_v2(
      handle, name, isEponymous ? eponymousFunctions : functions, Unmanaged.passRetained(maker).toOpaque()
    ) { aux in
      Unmanaged<VirtualTableMaker>.fromOpaque(aux!).release()
    }
  }

  // Safe because: written once, before any connection has it, and never after; SQLite reads it as long as the program runs.
  nonisolated(unsafe) private static let functions: UnsafeMutablePointer<sqlite3_module> = {
    // Nothing is stored for a table, so making and dropping it is the same as connecting and letting go.
    var module = eponymousFunctions.pointee
    module.xCreate = module.xConnect
    module.xDestroy = module.xDisconnect
    let pointer = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
    pointer.initialize(to: module)
    return pointer
  }()

  // Safe because: as above.
  nonisolated(unsafe) private static let eponymousFunctions: UnsafeMutablePointer<sqlite3_module> = {
    var module = sqlite3_module()
    module.iVersion = 0
    module.xConnect = { handle, aux, count, words, table, message in connect(handle, aux, count, words, table, message) }
    module.xDisconnect = { table in disconnect(table) }
    module.xBestIndex = { table, request in plan(table, request) }
    module.xOpen = { table, cursor in open(table, cursor) }
    module.xClose = { cursor in close(cursor) }
    module.xFilter = { cursor, plan, _, count, values in filter(cursor, plan, count, values) }
    module.xNext = { cursor in
      withCursor(cursor) { (cursor) throws(VirtualTableError) in try cursor.next() }
    }
    module.xEof = { cursor in
      let raw = UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: csqlite_vtab_cursor.self).pointee.object!
      return Unmanaged<VirtualTableCursor>.fromOpaque(raw)._withUnsafeGuaranteedRef { $0.isAtEnd ? 1 : 0 }
    }
    module.xColumn = { cursor, context, index in
      withCursor(cursor) { (cursor) throws(VirtualTableError) in
        try cursor.column(Int(index), into: ResultContext(raw: context!))
      }
    }
    module.xRowid = { cursor, rowID in
      withCursor(cursor) { (cursor) throws(VirtualTableError) in rowID!.pointee = cursor.rowID }
    }
    module.xFindFunction = { table, count, name, function, context in
      findFunction(table!, String(cString: name!), Int(count), function!, context!)
    }
    let pointer = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
    pointer.initialize(to: module)
    return pointer
  }()

  private static func connect(
    _ handle: OpaquePointer?, _ aux: UnsafeMutableRawPointer?, _ count: CInt,
    _ words: UnsafePointer<UnsafePointer<CChar>?>?,
    _ out: UnsafeMutablePointer<UnsafeMutablePointer<sqlite3_vtab>?>?,
    _ message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
  ) -> CInt {
    let maker = Unmanaged<VirtualTableMaker>.fromOpaque(aux!).takeUnretainedValue()
    let table: VirtualTable
    do throws(VirtualTableError) {
      // The first is the module's own name.
      table = try maker.make((1..<max(1, Int(count))).map { words?[$0].map { String(cString: $0) } ?? "" })
    } catch {
      message!.pointee = csqlite_copy_text(error.message)
      return error.code
    }
    let code = table.aroundDeclaration { sqlite3_declare_vtab(handle, table.declaration) }
    guard code == SQLITE_OK else {
      message!.pointee = csqlite_copy_text("the declaration was refused: \(String(cString: sqlite3_errmsg(handle)))")
      return code
    }
    let structure = UnsafeMutablePointer<csqlite_vtab>.allocate(capacity: 1)
    structure.initialize(to: csqlite_vtab())
    structure.pointee.object = Unmanaged.passRetained(table).toOpaque()
    out!.pointee = UnsafeMutableRawPointer(structure).assumingMemoryBound(to: sqlite3_vtab.self)
    return SQLITE_OK
  }

  private static func disconnect(_ table: UnsafeMutablePointer<sqlite3_vtab>?) -> CInt {
    let structure = UnsafeMutableRawPointer(table!).assumingMemoryBound(to: csqlite_vtab.self)
    Unmanaged<VirtualTable>.fromOpaque(structure.pointee.object!).release()
    structure.deallocate()
    return SQLITE_OK
  }

  private static func plan(
    _ table: UnsafeMutablePointer<sqlite3_vtab>?, _ request: UnsafeMutablePointer<sqlite3_index_info>?
  ) -> CInt {
    let structure = UnsafeMutableRawPointer(table!).assumingMemoryBound(to: csqlite_vtab.self)
    let object = Unmanaged<VirtualTable>.fromOpaque(structure.pointee.object!).takeUnretainedValue()
    do throws(VirtualTableError) {
      try object.plan(IndexRequest(raw: request!))
      return SQLITE_OK
    } catch {
      return report(error, to: table!)
    }
  }

  private static func findFunction(
    _ table: UnsafeMutablePointer<sqlite3_vtab>, _ name: String, _ argumentCount: Int,
    _ function: UnsafeMutablePointer<
      (@convention(c) (OpaquePointer?, CInt, UnsafeMutablePointer<OpaquePointer?>?) -> Void)?
    >, _ context: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  ) -> CInt {
    let structure = UnsafeMutableRawPointer(table).assumingMemoryBound(to: csqlite_vtab.self)
    let object = Unmanaged<VirtualTable>.fromOpaque(structure.pointee.object!).takeUnretainedValue()
    guard let found = object.function(name, argumentCount: argumentCount) else { return 0 }
    context.pointee = Unmanaged.passUnretained(found).toOpaque()
    function.pointee = { context, count, values in
      Unmanaged<TableFunction>.fromOpaque(sqlite3_user_data(context)!)._withUnsafeGuaranteedRef { function in
        do throws(VirtualTableError) {
          try function.body(FunctionArguments(base: values, count: Int(count)), ResultContext(raw: context!))
        } catch { reportFailure(error, to: context!) }
      }
    }
    return 1
  }

  private static func open(
    _ table: UnsafeMutablePointer<sqlite3_vtab>?,
    _ out: UnsafeMutablePointer<UnsafeMutablePointer<sqlite3_vtab_cursor>?>?
  ) -> CInt {
    let structure = UnsafeMutableRawPointer(table!).assumingMemoryBound(to: csqlite_vtab.self)
    let object = Unmanaged<VirtualTable>.fromOpaque(structure.pointee.object!).takeUnretainedValue()
    do throws(VirtualTableError) {
      let cursor = UnsafeMutablePointer<csqlite_vtab_cursor>.allocate(capacity: 1)
      cursor.initialize(to: csqlite_vtab_cursor())
      do throws(VirtualTableError) {
        cursor.pointee.object = Unmanaged.passRetained(try object.makeCursor()).toOpaque()
      } catch {
        cursor.deallocate()
        throw error
      }
      out!.pointee = UnsafeMutableRawPointer(cursor).assumingMemoryBound(to: sqlite3_vtab_cursor.self)
      return SQLITE_OK
    } catch {
      return report(error, to: table!)
    }
  }

  private static func close(_ cursor: UnsafeMutablePointer<sqlite3_vtab_cursor>?) -> CInt {
    let structure = UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: csqlite_vtab_cursor.self)
    Unmanaged<VirtualTableCursor>.fromOpaque(structure.pointee.object!).release()
    structure.deallocate()
    return SQLITE_OK
  }

  private static func filter(
    _ cursor: UnsafeMutablePointer<sqlite3_vtab_cursor>?, _ plan: CInt, _ count: CInt,
    _ values: UnsafeMutablePointer<OpaquePointer?>?
  ) -> CInt {
    withCursor(cursor) { (cursor) throws(VirtualTableError) in
      try cursor.filter(plan: Int(plan), arguments: FilterArguments(base: values, count: Int(count)))
    }
  }

  /// Runs `body` with the cursor's object; what it throws becomes the statement's error.
  @inline(__always)
  private static func withCursor(
    _ cursor: UnsafeMutablePointer<sqlite3_vtab_cursor>?,
    _ body: (VirtualTableCursor) throws(VirtualTableError) -> Void
  ) -> CInt {
    let structure = UnsafeMutableRawPointer(cursor!).assumingMemoryBound(to: csqlite_vtab_cursor.self)
    // SQLite holds one reference from xOpen to xClose, so the object lives through the call.
    let object = Unmanaged<VirtualTableCursor>.fromOpaque(structure.pointee.object!)
    return object._withUnsafeGuaranteedRef { object in
      do throws(VirtualTableError) {
        try body(object)
        return SQLITE_OK
      } catch {
        return report(error, to: cursor!.pointee.pVtab!)
      }
    }
  }

  @inline(never)
  private static func report(_ error: VirtualTableError, to table: UnsafeMutablePointer<sqlite3_vtab>) -> CInt {
    sqlite3_free(table.pointee.zErrMsg)
    table.pointee.zErrMsg = csqlite_copy_text(error.message)
    return error.code
  }
}
