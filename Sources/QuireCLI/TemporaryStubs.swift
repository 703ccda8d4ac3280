// internal import Node
internal import Query
enum OfflineHistory {
  static func query(_ sql: String, _ p: [String: SQLParameter], _ f: OutputFormat, dataDirectory: String) async throws { throw CommandFailure("later") }
  static func export(_ topics: [String], from: String?, to: String?, dataDirectory: String, take: (UnsafeRawBufferPointer) throws -> Void) async throws { throw CommandFailure("later") }
  static func examine(dataDirectory: String) async throws { throw CommandFailure("later") }
}
struct NodeConfiguration { static func resolve(flags: [(key: String, value: String)], configurationFile: String?, environment: [String: String]) throws -> NodeConfiguration { NodeConfiguration() } }
enum QuireNode { static func run(_ c: NodeConfiguration) async throws { throw NodeStartError() } }
struct NodeStartError: Error, CustomStringConvertible { var description: String { "not yet" } }
