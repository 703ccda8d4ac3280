internal import CSQLite
internal import Glibc

/// How much memory SQLite may have for the work of one thread, while that works within the budget.
///
/// SQLite's own bounds (`soft_heap_limit`, `hard_heap_limit`) hold for the whole process: a query that reached one would fail the
/// commits of others. So SQLite's allocator is ours: it is the system's, but a thread that has entered a budget is refused memory past
/// it, and what it does ends with SQLITE_NOMEM. Other threads pay for a look at a thread-local pointer.
public final class MemoryBudget: @unchecked Sendable {
  // Safe because: what it points to is touched by the thread that has entered it only, and entering it twice at once is a bug of ours.
  fileprivate struct State {
    var used = 0
    var limit: Int
    var isExhausted = false
    var isEntered = false
  }
  private let state: UnsafeMutablePointer<State>

  /// - Parameter bytes: of all that SQLite allocates for it.
  public init(bytes: Int) {
    state = .allocate(capacity: 1)
    state.initialize(to: State(limit: bytes))
  }

  deinit { state.deallocate() }

  /// SQLite was refused memory since `restart`.
  public var isExhausted: Bool { state.pointee.isExhausted }

  /// Begins to count anew.
  public func restart() {
    state.pointee.used = 0
    state.pointee.isExhausted = false
  }

  /// Runs `body` with what SQLite allocates counted; memory that outlives it stays counted.
  public func spend<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    if state.pointee.isEntered { return try body() }
    state.pointee.isEntered = true
    pthread_setspecific(BudgetedMemory.key, state)
    defer {
      pthread_setspecific(BudgetedMemory.key, nil)
      state.pointee.isEntered = false
    }
    return try body()
  }

  /// Runs `body` without a budget, whatever the thread has entered: for what outlives the work that the budget is for.
  public static func exempting<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    guard let entered = pthread_getspecific(BudgetedMemory.key) else { return try body() }
    pthread_setspecific(BudgetedMemory.key, nil)
    defer { pthread_setspecific(BudgetedMemory.key, entered) }
    return try body()
  }
}

/// SQLite's allocator: malloc, and the budget of the thread.
enum BudgetedMemory {
  fileprivate static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key, nil)
    precondition(code == 0, "the system has no thread-local slot left")
    return key
  }()

  /// Before SQLite's first use.
  static func install() {
    _ = key
    var methods = sqlite3_mem_methods()
    methods.xMalloc = { count in
      let budget = BudgetedMemory.budget
      if let budget, !BudgetedMemory.admits(Int(count), budget) { return nil }
      let memory = malloc(Int(count))
      if let budget, let memory { budget.pointee.used += csqlite_usable_size(memory) }
      return memory
    }
    methods.xFree = { memory in
      if let budget = BudgetedMemory.budget { budget.pointee.used -= csqlite_usable_size(memory) }
      free(memory)
    }
    methods.xRealloc = { memory, count in
      guard let budget = BudgetedMemory.budget else { return realloc(memory, Int(count)) }
      let before = csqlite_usable_size(memory)
      if !BudgetedMemory.admits(Int(count) - before, budget) { return nil }
      let grown = realloc(memory, Int(count))
      if let grown { budget.pointee.used += csqlite_usable_size(grown) - before }
      return grown
    }
    methods.xSize = { memory in CInt(clamping: csqlite_usable_size(memory)) }
    methods.xRoundup = { count in (count + 7) & ~7 }
    methods.xInit = { _ in SQLITE_OK }
    methods.xShutdown = { _ in }
    _ = csqlite_config_malloc(&methods)
  }

  @inline(__always)
  private static var budget: UnsafeMutablePointer<MemoryBudget.State>? {
    pthread_getspecific(key)?.assumingMemoryBound(to: MemoryBudget.State.self)
  }

  @inline(__always)
  private static func admits(_ growth: Int, _ budget: UnsafeMutablePointer<MemoryBudget.State>) -> Bool {
    if growth <= 0 || budget.pointee.used + growth <= budget.pointee.limit { return true }
    budget.pointee.isExhausted = true
    return false
  }
}
