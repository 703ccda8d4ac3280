internal import CSQLite

/// The arguments of one call of a SQL function; valid during that call only.
public struct FunctionArguments {
  let base: UnsafeMutablePointer<OpaquePointer?>?
  public let count: Int

  /// - Precondition: `index` is below `count`.
  public subscript(index: Int) -> ArgumentValue {
    precondition(index >= 0 && index < count, "an argument that the function was not given")
    return ArgumentValue(raw: base![index]!)
  }
}

extension UnsafeRawBufferPointer {
  /// Where `wanted` stands in the bytes first; nil if nowhere. In time linear in both.
  public func firstPlace(of wanted: UnsafeRawBufferPointer) -> Int? {
    if wanted.isEmpty { return 0 }
    guard let start = baseAddress, let found = csqlite_find(start, count, wanted.baseAddress, wanted.count) else { return nil }
    return start.distance(to: found)
  }
}

/// What one group of an aggregate function gathers.
public protocol AggregateState: AnyObject {
  func step(_ arguments: FunctionArguments) throws(VirtualTableError)
  func finish(into result: ResultContext) throws(VirtualTableError)
}

final class ScalarCallback {
  let body: (FunctionArguments, ResultContext) throws(VirtualTableError) -> Void
  init(_ body: @escaping (FunctionArguments, ResultContext) throws(VirtualTableError) -> Void) { self.body = body }
}

final class AggregateCallback {
  let make: () -> any AggregateState
  init(_ make: @escaping () -> any AggregateState) { self.make = make }
}

/// Keeps one group's state alive between SQLite's calls.
private final class AggregateBox {
  let state: any AggregateState
  init(_ state: any AggregateState) { self.state = state }
}

extension Connection {
  /// Registers a function of SQL.
  ///
  /// - Parameters:
  ///   - argumentCount: -1 is any number.
  ///   - isDeterministic: the same arguments always give the same value; SQLite then calls it once where it can.
  ///   - hasSideEffects: it does something, so that only a statement itself may call it, not what is stored in a schema.
  ///   - body: sets the result (NULL otherwise); what it throws ends the statement.
  public func registerFunction(
    _ name: String, argumentCount: Int, isDeterministic: Bool = true, hasSideEffects: Bool = false,
    _ body: @escaping (FunctionArguments, ResultContext) throws(VirtualTableError) -> Void
  ) throws(SQLiteError) {
    if isTaken(function: name, argumentCount) { return }
    let safety = hasSideEffects ? SQLITE_DIRECTONLY : SQLITE_INNOCUOUS
    let flags = SQLITE_UTF8 | safety | (isDeterministic && !hasSideEffects ? SQLITE_DETERMINISTIC : 0)
    let code = sqlite3_create_function_v2(
      handle, name, CInt(argumentCount), flags, Unmanaged.passRetained(ScalarCallback(body)).toOpaque(),
      { context, count, values in
        let callback = Unmanaged<ScalarCallback>.fromOpaque(sqlite3_user_data(context)!)
        callback._withUnsafeGuaranteedRef { callback in
          do throws(VirtualTableError) {
            try callback.body(FunctionArguments(base: values, count: Int(count)), ResultContext(raw: context!))
          } catch { reportFailure(error, to: context!) }
        }
      }, nil, nil, { Unmanaged<ScalarCallback>.fromOpaque($0!).release() })
    if code != SQLITE_OK { throw error(code) }
  }

  /// Registers an aggregate function; `make` is called once for each group.
  public func registerAggregate(
    _ name: String, argumentCount: Int, _ make: @escaping () -> any AggregateState
  ) throws(SQLiteError) {
    if isTaken(function: name, argumentCount) { return }
    let code = sqlite3_create_function_v2(
      handle, name, CInt(argumentCount), SQLITE_UTF8 | SQLITE_INNOCUOUS | SQLITE_DETERMINISTIC,
      Unmanaged.passRetained(AggregateCallback(make)).toOpaque(), nil,
      { context, count, values in
        guard let slot = aggregateSlot(context!, bytes: MemoryLayout<UnsafeMutableRawPointer?>.size) else { return }
        if slot.pointee == nil {
          let callback = Unmanaged<AggregateCallback>.fromOpaque(sqlite3_user_data(context)!).takeUnretainedValue()
          slot.pointee = Unmanaged.passRetained(AggregateBox(callback.make())).toOpaque()
        }
        let box = Unmanaged<AggregateBox>.fromOpaque(slot.pointee!)
        box._withUnsafeGuaranteedRef { box in
          do throws(VirtualTableError) {
            try box.state.step(FunctionArguments(base: values, count: Int(count)))
          } catch { reportFailure(error, to: context!) }
        }
      },
      { context in
        // Without a step there is no slot: the group is empty. SQLite calls this also where the statement ends early.
        guard let slot = aggregateSlot(context!, bytes: 0), let object = slot.pointee else {
          let callback = Unmanaged<AggregateCallback>.fromOpaque(sqlite3_user_data(context)!).takeUnretainedValue()
          return finish(callback.make(), context!)
        }
        slot.pointee = nil
        finish(Unmanaged<AggregateBox>.fromOpaque(object).takeRetainedValue().state, context!)
      }, { Unmanaged<AggregateCallback>.fromOpaque($0!).release() })
    if code != SQLITE_OK { throw error(code) }
  }
}

private func aggregateSlot(_ context: OpaquePointer, bytes: Int) -> UnsafeMutablePointer<UnsafeMutableRawPointer?>? {
  sqlite3_aggregate_context(context, CInt(bytes))?.assumingMemoryBound(to: UnsafeMutableRawPointer?.self)
}

private func finish(_ state: any AggregateState, _ context: OpaquePointer) {
  do throws(VirtualTableError) { try state.finish(into: ResultContext(raw: context)) } catch {
    reportFailure(error, to: context)
  }
}

func reportFailure(_ error: VirtualTableError, to context: OpaquePointer) {
  sqlite3_result_error(context, error.message, -1)
  sqlite3_result_error_code(context, error.code)
  // The code replaces the message where SQLite has words of its own for it.
  if error.code == SQLITE_ERROR { sqlite3_result_error(context, error.message, -1) }
}
