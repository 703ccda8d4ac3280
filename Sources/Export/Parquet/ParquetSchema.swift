/// Parquet's numbers for what we write and read.
enum ParquetType {
  static let int32 = 1
  static let int64 = 2
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
enum ParquetSchema {
  /// Columns of values, in the order of the file.
  enum Leaf: Int, CaseIterable {
    case topic, partition, offset, timestamp, key, value, keyBytes, valueBytes, headerKey, headerValue

    var column: ExportColumns {
      switch self {
      case .topic: .topic
      case .partition: .partition
      case .offset: .offset
      case .timestamp: .timestamp
      case .key, .keyBytes: .key
      case .value, .valueBytes: .value
      case .headerKey, .headerValue: .headers
      }
    }

    var path: [String] {
      switch self {
      case .topic: ["topic"]
      case .partition: ["partition"]
      case .offset: ["offset"]
      case .timestamp: ["timestamp"]
      case .key: ["key"]
      case .value: ["value"]
      case .keyBytes: ["key_bytes"]
      case .valueBytes: ["value_bytes"]
      case .headerKey: ["headers", "list", "element", "key"]
      case .headerValue: ["headers", "list", "element", "value"]
      }
    }

    var type: Int {
      switch self {
      case .partition: ParquetType.int32
      case .offset, .timestamp: ParquetType.int64
      default: ParquetType.byteArray
      }
    }

    /// The level at which a value is there; less is null, or an empty list.
    var definitionMax: UInt8 {
      switch self {
      case .topic, .partition, .offset: 0
      case .headerValue: 2
      default: 1
      }
    }
    var repetitionMax: UInt8 { column == .headers ? 1 : 0 }
  }

  /// The leaves of a file with these columns.
  static func leaves(_ columns: ExportColumns) -> [Leaf] { Leaf.allCases.filter { columns.contains($0.column) } }

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

  private static func elements(_ columns: ExportColumns) -> [Element] {
    var elements: [Element] = []
    func text(_ name: String, _ repetition: Int) -> Element {
      Element(
        name: name, type: ParquetType.byteArray, repetition: repetition, convertedType: Element.utf8,
        logicalType: Element.logicalString)
    }
    for leaf in leaves(columns) {
      switch leaf {
      case .topic: elements.append(text("topic", ParquetRepetition.required))
      case .key, .value: elements.append(text(leaf.path[0], ParquetRepetition.optional))
      case .partition, .offset: elements.append(Element(name: leaf.path[0], type: leaf.type))
      case .timestamp:
        elements.append(
          Element(
            name: "timestamp", type: leaf.type, repetition: ParquetRepetition.optional,
            convertedType: Element.timestampMillis, logicalType: Element.logicalTimestamp))
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
    let roots = leaves(columns).count - (columns.contains(.headers) ? 1 : 0)
    return [Element(name: "record", children: roots)] + elements
  }

  /// Writes the field `schema` of FileMetaData.
  static func write(_ columns: ExportColumns, to thrift: inout ThriftWriter) {
    let elements = elements(columns)
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
