internal import Model

/// Parquet's numbers for what we write and read.
enum ParquetType {
  static let boolean = 0
  static let int32 = 1
  static let int64 = 2
  static let double = 5
  static let byteArray = 6
}
enum ParquetRepetition {
  static let required = 0
  static let optional = 1
  static let repeated = 2
}
enum ParquetEncoding {
  static let plain = 0
  static let plainDictionary = 2
  static let rle = 3
  static let deltaBinaryPacked = 5
  static let rleDictionary = 8
}
enum ParquetCodec {
  static let uncompressed = 0
  static let snappy = 1
  static let gzip = 2
  static let zstd = 6
}
enum ParquetPage {
  static let data = 0
  static let dictionary = 2
  static let dataV2 = 3
}

/// The schema of every file, whatever the records hold:
///
/// | column | type | |
/// |---|---|---|
/// | topic | STRING | |
/// | partition | INT32 | |
/// | offset | INT64 | |
/// | timestamp | TIMESTAMP(MILLIS, UTC) | null where a record has none (-1) |
/// | key, value | STRING | null where the record's is null or not UTF-8 |
/// | key_bytes, value_bytes | BINARY | set where the key or value is not UTF-8 |
/// | headers | LIST<STRUCT<key STRING, value BINARY>> | in their order |
/// | declared columns | TEXT, JSON: STRING; INTEGER: INT64; REAL, NUMERIC: DOUBLE; BOOLEAN; BLOB: BINARY; TIMESTAMPTZ: TIMESTAMP(MILLIS, UTC) | null where NULL |
enum ParquetSchema {
  /// A column of values.
  struct Leaf: Sendable {
    enum Role: Hashable, Sendable, CaseIterable {
      case topic, partition, offset, timestamp, key, value, keyBytes, valueBytes, headerKey, headerValue
      /// A declared column.
      case field

      var column: ExportColumns {
        switch self {
        case .topic: .topic
        case .partition: .partition
        case .offset: .offset
        case .timestamp: .timestamp
        case .key, .keyBytes: .key
        case .value, .valueBytes: .value
        case .headerKey, .headerValue: .headers
        case .field: []
        }
      }
    }

    let role: Role
    let type: Int
    /// The level at which a value is there; less is null, or an empty list.
    let definitionMax: UInt8
    let repetitionMax: UInt8
    let path: [String]
    /// Of a declared column.
    let declaredType: DeclaredColumn.ColumnType?

    fileprivate init(_ role: Role) {
      self.role = role
      declaredType = nil
      switch role {
      case .partition: type = ParquetType.int32
      case .offset, .timestamp: type = ParquetType.int64
      default: type = ParquetType.byteArray
      }
      switch role {
      case .topic, .partition, .offset: definitionMax = 0
      case .headerValue: definitionMax = 2
      default: definitionMax = 1
      }
      repetitionMax = role.column == .headers ? 1 : 0
      switch role {
      case .topic: path = ["topic"]
      case .partition: path = ["partition"]
      case .offset: path = ["offset"]
      case .timestamp: path = ["timestamp"]
      case .key: path = ["key"]
      case .value: path = ["value"]
      case .keyBytes: path = ["key_bytes"]
      case .valueBytes: path = ["value_bytes"]
      case .headerKey: path = ["headers", "list", "element", "key"]
      case .headerValue: path = ["headers", "list", "element", "value"]
      case .field: path = []
      }
    }

    fileprivate init(_ field: ExportField) {
      role = .field
      declaredType = field.type
      definitionMax = 1
      repetitionMax = 0
      path = [field.name]
      switch field.type {
      case .text, .json, .blob: type = ParquetType.byteArray
      case .integer, .timestamptz: type = ParquetType.int64
      case .real, .numeric: type = ParquetType.double
      case .boolean: type = ParquetType.boolean
      }
    }
  }

  /// The leaves of a file with these columns, in its order; those of declared columns are the last.
  static func leaves(_ schema: ExportSchema) -> [Leaf] {
    Leaf.Role.allCases.filter { !$0.column.isEmpty && schema.fixed.contains($0.column) }.map { Leaf($0) }
      + schema.fields.map { Leaf($0) }
  }

  private struct Element {
    var name: String
    var type: Int?
    var repetition = ParquetRepetition.required
    var children: Int?
    var convertedType: Int?
    /// The member of the union LogicalType.
    var logicalType: Int16?

    static let utf8 = 0
    static let list = 3
    static let timestampMillis = 9
    static let logicalString: Int16 = 1
    static let logicalList: Int16 = 3
    static let logicalTimestamp: Int16 = 8
  }

  private static func elements(_ schema: ExportSchema) -> [Element] {
    var elements: [Element] = []
    func text(_ name: String, _ repetition: Int) -> Element {
      Element(
        name: name, type: ParquetType.byteArray, repetition: repetition, convertedType: Element.utf8,
        logicalType: Element.logicalString)
    }
    func time(_ name: String) -> Element {
      Element(
        name: name, type: ParquetType.int64, repetition: ParquetRepetition.optional,
        convertedType: Element.timestampMillis, logicalType: Element.logicalTimestamp)
    }
    for leaf in leaves(schema) {
      switch leaf.role {
      case .topic: elements.append(text("topic", ParquetRepetition.required))
      case .key, .value: elements.append(text(leaf.path[0], ParquetRepetition.optional))
      case .partition, .offset: elements.append(Element(name: leaf.path[0], type: leaf.type))
      case .timestamp: elements.append(time("timestamp"))
      case .field:
        switch leaf.declaredType {
        case .text, .json: elements.append(text(leaf.path[0], ParquetRepetition.optional))
        case .timestamptz: elements.append(time(leaf.path[0]))
        default: elements.append(Element(name: leaf.path[0], type: leaf.type, repetition: ParquetRepetition.optional))
        }
      case .keyBytes, .valueBytes:
        elements.append(Element(name: leaf.path[0], type: leaf.type, repetition: ParquetRepetition.optional))
      case .headerKey:
        elements.append(
          Element(name: "headers", children: 1, convertedType: Element.list, logicalType: Element.logicalList))
        elements.append(Element(name: "list", repetition: ParquetRepetition.repeated, children: 1))
        elements.append(Element(name: "element", children: 2))
        elements.append(text("key", ParquetRepetition.required))
      case .headerValue:
        elements.append(Element(name: "value", type: leaf.type, repetition: ParquetRepetition.optional))
      }
    }
    let roots = leaves(schema).count - (schema.fixed.contains(.headers) ? 1 : 0)
    return [Element(name: "record", children: roots)] + elements
  }

  /// Writes the field `schema` of FileMetaData.
  static func write(_ schema: ExportSchema, to thrift: inout ThriftWriter) {
    let elements = elements(schema)
    thrift.list(2, .structure, count: elements.count)
    for (number, element) in elements.enumerated() {
      thrift.element { thrift in
        if let type = element.type { thrift.i32(1, type) }
        if number > 0 { thrift.i32(3, element.repetition) }
        thrift.string(4, element.name)
        if let children = element.children { thrift.i32(5, children) }
        if let converted = element.convertedType { thrift.i32(6, converted) }
        guard let logical = element.logicalType else { return }
        thrift.structure(10) { thrift in
          thrift.structure(logical) { thrift in
            guard logical == Element.logicalTimestamp else { return }
            thrift.bool(1, true)  // adjusted to UTC
            thrift.structure(2) { $0.structure(1) { _ in } }  // MILLIS
          }
        }
      }
    }
  }
}
