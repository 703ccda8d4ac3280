internal import SQLite

/// SQLite's functions of dates, without the present: `'now'`, the local time zone, and a time that is left out. What is computed of a
/// record must not depend on when that happens.
enum PureDates {
  /// Each with the place of its first time.
  private static let functions = ["date": 0, "time": 0, "datetime": 0, "julianday": 0, "unixepoch": 0, "strftime": 1]

  static let complaint = "it would not be the same each time"

  /// Asks another connection's functions, since those of this one are replaced.
  private final class Originals {
    let connection: Connection
    private var statements: [String: Statement] = [:]

    init() throws(SQLiteError) { connection = try Connection(path: ":memory:", mode: .create) }

    func statement(_ name: String, _ count: Int) throws(SQLiteError) -> Statement {
      let key = "\(name)/\(count)"
      if let known = statements[key] { return known }
      let arguments = Array(repeating: "?", count: count).joined(separator: ", ")
      let made = try connection.prepare("SELECT \(name)(\(arguments))", isPersistent: true)
      statements[key] = made
      return made
    }
  }

  static func register(on connection: Connection) throws(SQLiteError) {
    let originals = try Originals()
    for (name, firstTime) in functions {
      try connection.registerFunction(name, argumentCount: -1) { (arguments, result) throws(VirtualTableError) in
        guard arguments.count > firstTime, arguments.count <= 20 else {
          throw .failed("\(name) needs a time here: \(complaint)")
        }
        // Of bytes they make texts.
        for index in firstTime..<arguments.count where [.text, .blob].contains(arguments[index].kind) {
          let text = arguments[index].withBytes { String(decoding: $0.prefix(16), as: UTF8.self) }.lowercased()
          // As the time itself 'subsec' is the present; behind one it says how it is written.
          let isPresent = index == firstTime && text.hasPrefix("subsec")
          if isPresent || ["now", "localtime", "utc"].contains(where: text.contains) {
            throw .failed("\(name) cannot have '\(text)' here: \(complaint)")
          }
        }
        do throws(SQLiteError) {
          let statement = try originals.statement(name, arguments.count)
          defer { statement.reset() }
          for index in 0..<arguments.count { statement.bind(arguments[index], at: index + 1) }
          if try statement.step() { statement.withValue(at: 0) { result.set($0) } }
        } catch { throw .failed(error.message) }
      }
    }
  }
}
