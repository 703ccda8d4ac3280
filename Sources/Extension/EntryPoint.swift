internal import CHostSQLite
internal import Glibc
internal import SQLite

/// What `load_extension('libquire')` calls, on each connection that it is loaded into.
///
/// - Returns: SQLITE_OK; otherwise `message` says why, and the topics of the environment are not there.
@c(sqlite3_quire_init)
public func quireInit(
  _ database: OpaquePointer?, _ message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ api: OpaquePointer?
) -> CInt {
  let code = chost_adopt(api, message)
  guard code == 0 else { return code }
  guard let database else { return 1 }
  do throws(LoadError) {
    let directory = getenv("QUIRE_DATA_DIR").map { String(cString: $0) }
    try Attachments(on: Connection(hosted: database)).register(environment: directory)
    return 0
  } catch {
    message?.pointee = chost_message(error.message)
    return 1
  }
}

/// Why the extension could not be loaded, or a directory not be attached.
struct LoadError: Error {
  var message: String
  init(_ message: String) { self.message = message }
}
