/// The types values have on this wire, with the numbers that all clients know by heart.
enum PostgresType: UInt32, Hashable, Sendable, CaseIterable {
  case bool = 16
  case bytea = 17
  case char = 18
  case name = 19
  case int8 = 20
  case int2 = 21
  case int2vector = 22
  case int4 = 23
  case regproc = 24
  case text = 25
  case oid = 26
  case oidvector = 30
  case json = 114
  case nodeTree = 194
  case float4 = 700
  case float8 = 701
  case unknown = 705
  case boolArray = 1000
  case byteaArray = 1001
  case charArray = 1002
  case nameArray = 1003
  case int2Array = 1005
  case int4Array = 1007
  case textArray = 1009
  case varcharArray = 1015
  case int8Array = 1016
  case float4Array = 1021
  case float8Array = 1022
  case oidArray = 1028
  case aclitemArray = 1034
  case bpchar = 1042
  case varchar = 1043
  case date = 1082
  case time = 1083
  case timestamp = 1114
  case timestamptz = 1184
  case dateArray = 1182
  case timestamptzArray = 1185
  case interval = 1186
  case numericArray = 1231
  case numeric = 1700
  case regclass = 2205
  case regtype = 2206
  case uuid = 2950
  case uuidArray = 2951
  case jsonb = 3802

  var oid: UInt32 { rawValue }

  /// Bytes of a value where that is fixed, else -1.
  var size: Int16 {
    switch self {
    case .bool, .char: 1
    case .int2: 2
    case .int4, .float4, .oid, .regproc, .regclass, .regtype, .date: 4
    case .int8, .float8, .timestamp, .timestamptz, .time: 8
    case .name: 64
    case .interval, .uuid: 16
    case .unknown: -2
    default: -1
    }
  }

  /// As the catalogue has it.
  var catalogName: String {
    switch self {
    case .nodeTree: "pg_node_tree"
    case .boolArray, .byteaArray, .charArray, .nameArray, .int2Array, .int4Array, .textArray, .varcharArray, .int8Array,
      .float4Array, .float8Array, .oidArray, .timestamptzArray, .dateArray, .numericArray, .uuidArray:
      "_" + (element?.catalogName ?? "")
    case .aclitemArray: "_aclitem"
    default: "\(self)"
    }
  }

  /// As `format_type` and people write it.
  var sqlName: String {
    switch self {
    case .bool: "boolean"
    case .char: "\"char\""
    case .int8: "bigint"
    case .int2: "smallint"
    case .int4: "integer"
    case .float4: "real"
    case .float8: "double precision"
    case .bpchar: "character"
    case .varchar: "character varying"
    case .time: "time without time zone"
    case .timestamp: "timestamp without time zone"
    case .timestamptz: "timestamp with time zone"
    case .aclitemArray: "aclitem[]"
    default: element.map { $0.sqlName + "[]" } ?? catalogName
    }
  }

  /// What an array has in it.
  var element: PostgresType? {
    switch self {
    case .boolArray: .bool
    case .byteaArray: .bytea
    case .charArray: .char
    case .nameArray: .name
    case .int2Array, .int2vector: .int2
    case .int4Array: .int4
    case .textArray, .aclitemArray: .text
    case .varcharArray: .varchar
    case .int8Array: .int8
    case .float4Array: .float4
    case .float8Array: .float8
    case .oidArray, .oidvector: .oid
    case .timestamptzArray: .timestamptz
    case .dateArray: .date
    case .numericArray: .numeric
    case .uuidArray: .uuid
    default: nil
    }
  }

  var array: PostgresType? { Self.arrays[self] }
  private static let arrays: [PostgresType: PostgresType] = {
    var arrays: [PostgresType: PostgresType] = [:]
    for type in allCases where type != .int2vector && type != .oidvector && type != .aclitemArray {
      if let element = type.element { arrays[element] = type }
    }
    return arrays
  }()

  /// `typcategory`: what kind of type this is to a client that has never heard of it.
  var category: Character {
    switch self {
    case .bool: "B"
    case .int8, .int2, .int4, .oid, .float4, .float8, .numeric, .regproc, .regclass, .regtype: "N"
    case .text, .varchar, .bpchar, .name: "S"
    case .date, .time, .timestamp, .timestamptz: "D"
    case .interval: "T"
    case .unknown: "X"
    case .char, .nodeTree: "Z"
    default: element == nil ? "U" : "A"
    }
  }

  private static let byName: [String: PostgresType] = {
    var names: [String: PostgresType] = [
      "boolean": .bool, "bigint": .int8, "smallint": .int2, "integer": .int4, "int": .int4, "real": .float4,
      "float": .float8, "double precision": .float8, "double": .float8, "decimal": .numeric, "character": .bpchar,
      "character varying": .varchar, "string": .text, "timestamp without time zone": .timestamp,
      "timestamp with time zone": .timestamptz, "time without time zone": .time, "citext": .text, "blob": .bytea,
      "bigserial": .int8, "serial": .int4, "information_schema.sql_identifier": .name,
    ]
    for type in allCases { names[type.catalogName] = type }
    return names
  }()

  /// - Parameter name: in lower case, without schema.
  init?(named name: String) {
    guard let type = Self.byName[name] else { return nil }
    self = type
  }

  /// What the declaration of a table's column says: its first word, or what SQLite makes of the words.
  init?(declared: String?) {
    guard let declared, !declared.isEmpty else { return nil }
    let words = declared.lowercased().split(separator: " ")
    guard let first = words.first.map(String.init) else { return nil }
    switch first {
    case "integer", "int": self = .int8
    case "real", "float", "double": self = .float8
    default:
      guard let type = Self.byName[first] else { return nil }
      self = type
    }
  }
}

/// A column of an answer as clients are told it.
struct ResultColumn: Hashable, Sendable {
  var name: String
  var type: PostgresType
}
