internal import Query
enum OfflineHistory {
  static func query(_ sql: String, _ p: [String: SQLParameter], _ f: OutputFormat, dataDirectory: String) async throws { throw CommandFailure("later") }
  static func export(_ topics: [String], from: String?, to: String?, dataDirectory: String, take: (UnsafeRawBufferPointer) throws -> Void) async throws { throw CommandFailure("later") }
  static func examine(dataDirectory: String) async throws { throw CommandFailure("later") }
}
