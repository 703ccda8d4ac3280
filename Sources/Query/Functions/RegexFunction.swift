internal import SQLite

/// `regexp(pattern, text)`, which is also what `text REGEXP pattern` calls.
enum RegexFunction {
  /// Patterns that a session keeps ready; few statements have two.
  private final class Compiled {
    var all: [(pattern: [UInt8], matcher: RegexMatcher)] = []
    static let countMax = 8

    func matcher(for pattern: UnsafeRawBufferPointer) throws(VirtualTableError) -> RegexMatcher {
      if let known = all.first(where: { $0.pattern.elementsEqual(pattern) }) { return known.matcher }
      let matcher: RegexMatcher
      do throws(RegexError) { matcher = try RegexMatcher(String(decoding: pattern, as: UTF8.self)) } catch {
        throw .failed("the regular expression is not understood: \(error.message)")
      }
      if all.count >= Self.countMax { all.removeFirst() }
      all.append((Array(pattern), matcher))
      return matcher
    }
  }

  static func register(on connection: Connection, control: ScanControl) throws(SQLiteError) {
    let compiled = Compiled()
    try connection.registerFunction("regexp", argumentCount: 2) { (arguments, result) throws(VirtualTableError) in
      guard arguments[0].kind != .null, arguments[1].kind != .null else { return result.setNull() }
      var failure: VirtualTableError?
      let found = arguments[0].withBytes { pattern -> Bool? in
        do throws(VirtualTableError) {
          let matcher = try compiled.matcher(for: pattern)
          return arguments[1].withBytes { text in
            // One text after the other, each short, is stopped by the progress handler.
            matcher.matches(text) { text.count > 1 << 14 && (control.isCancelled || control.isLate) }
          }
        } catch {
          failure = error
          return nil
        }
      }
      if let failure { throw failure }
      guard let found else { throw .interrupted }
      result.set(Int64(found ? 1 : 0))
    }
  }
}
