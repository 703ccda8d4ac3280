/// What a Parquet file says of itself at its end, as far as it is needed here.
struct ParquetFooter: Equatable {
  struct Chunk: Equatable {
    var path: [String] = []
    var type = 0
    var codec = 0
    var valueCount: Int64 = 0
    var compressedBytes: Int64 = 0
    var dataPageOffset: Int64 = 0
    var dictionaryPageOffset: Int64?

    /// Where its first page is.
    var start: Int64 {
      guard let dictionaryPageOffset, dictionaryPageOffset > 0 else { return dataPageOffset }
      return min(dictionaryPageOffset, dataPageOffset)
    }
  }

  struct Group: Equatable {
    var rows: Int64 = 0
    var chunks: [Chunk] = []
  }

  /// A node of the schema that has values.
  struct Leaf: Equatable {
    var path: [String]
    var type: Int
    /// A level of its own for each node of the path that can be missing, and that repeats.
    var definitionMax: Int
    var repetitionMax: Int
    /// The definition level at which the innermost list has an element.
    var elementDefinition: Int
    /// Milliseconds and so on of the unit of a timestamp: 1, 1000, 1,000,000.
    var unitsPerMillisecond: Int64 = 1
  }

  var leaves: [Leaf] = []
  var groups: [Group] = []

  private struct Element {
    var name = ""
    var type: Int?
    var repetition = ParquetRepetition.required
    var children = 0
    var unitsPerMillisecond: Int64 = 1
  }

  init(_ bytes: UnsafeRawBufferPointer) throws(ParquetError) {
    var reader = ThriftReader(bytes)
    var elements: [Element] = []
    var groups: [Group] = []
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      switch (field, kind) {
      case (2, .list): try reader.list { (reader) throws(ParquetError) in elements.append(try Self.element(&reader)) }
      case (4, .list): try reader.list { (reader) throws(ParquetError) in groups.append(try Self.group(&reader)) }
      default: try reader.skip(kind)
      }
    }
    self.groups = groups
    guard let root = elements.first else { throw ParquetError("it has no schema") }
    var next = 1
    for _ in 0..<root.children { try addLeaves(elements, &next, path: [], definition: 0, repetition: 0, element: 0) }
    if next != elements.count { throw .damaged }
  }

  private mutating func addLeaves(
    _ elements: [Element], _ next: inout Int, path: [String], definition: Int, repetition: Int, element: Int
  ) throws(ParquetError) {
    guard next < elements.count, path.count < 16 else { throw .damaged }
    let node = elements[next]
    next += 1
    let path = path + [node.name]
    let definition = definition + (node.repetition == ParquetRepetition.required ? 0 : 1)
    let repeats = node.repetition == ParquetRepetition.repeated
    let repetition = repetition + (repeats ? 1 : 0)
    let inner = repeats ? definition : element
    if let type = node.type {
      leaves.append(
        Leaf(
          path: path, type: type, definitionMax: definition, repetitionMax: repetition, elementDefinition: inner,
          unitsPerMillisecond: node.unitsPerMillisecond))
      return
    }
    for _ in 0..<node.children {
      try addLeaves(elements, &next, path: path, definition: definition, repetition: repetition, element: inner)
    }
  }

  private static func element(_ reader: inout ThriftReader) throws(ParquetError) -> Element {
    var element = Element()
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      switch (field, kind) {
      case (1, _): element.type = try reader.int()
      case (3, _): element.repetition = try reader.int()
      case (4, .binary): element.name = try reader.string()
      case (5, _):
        element.children = try reader.int()
        if element.children < 0 { throw .damaged }
      case (6, _): if try reader.int() == 10 { element.unitsPerMillisecond = 1000 }  // TIMESTAMP_MICROS
      case (10, .structure): element.unitsPerMillisecond = try timeUnit(&reader) ?? element.unitsPerMillisecond
      default: try reader.skip(kind)
      }
    }
    return element
  }

  /// Of LogicalType: TIMESTAMP (8) has a unit (2) that is one of three empty structures.
  private static func timeUnit(_ reader: inout ThriftReader) throws(ParquetError) -> Int64? {
    var unit: Int64?
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      guard field == 8, kind == .structure else { return try reader.skip(kind) }
      try reader.structure { (reader, field, kind) throws(ParquetError) in
        guard field == 2, kind == .structure else { return try reader.skip(kind) }
        try reader.structure { (reader, field, kind) throws(ParquetError) in
          unit = [1: 1, 2: 1000, 3: 1_000_000][field]
          try reader.skip(kind)
        }
      }
    }
    return unit
  }

  private static func group(_ reader: inout ThriftReader) throws(ParquetError) -> Group {
    var group = Group()
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      switch (field, kind) {
      case (1, .list): try reader.list { (reader) throws(ParquetError) in group.chunks.append(try chunk(&reader)) }
      case (3, _): group.rows = try reader.integer()
      default: try reader.skip(kind)
      }
    }
    return group
  }

  private static func chunk(_ reader: inout ThriftReader) throws(ParquetError) -> Chunk {
    var chunk = Chunk()
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      switch (field, kind) {
      case (1, .binary): throw ParquetError("its columns are in other files, which is not read here")
      case (3, .structure):
        try reader.structure { (reader, field, kind) throws(ParquetError) in
          switch (field, kind) {
          case (1, _): chunk.type = try reader.int()
          case (3, .list): try reader.list { (reader) throws(ParquetError) in chunk.path.append(try reader.string()) }
          case (4, _): chunk.codec = try reader.int()
          case (5, _): chunk.valueCount = try reader.integer()
          case (7, _): chunk.compressedBytes = try reader.integer()
          case (9, _): chunk.dataPageOffset = try reader.integer()
          case (11, _): chunk.dictionaryPageOffset = try reader.integer()
          default: try reader.skip(kind)
          }
        }
      default: try reader.skip(kind)
      }
    }
    return chunk
  }
}

/// What stands in front of a page.
struct ParquetPageHeader: Equatable {
  var type = -1
  var uncompressedBytes = 0
  var compressedBytes = 0
  var valueCount = 0
  var encoding = -1
  // Only of a data page of version 2, whose levels are not compressed.
  var definitionBytes = 0
  var repetitionBytes = 0
  var isCompressed = true

  /// - Returns: also how many bytes it has.
  static func read(_ bytes: UnsafeRawBufferPointer) throws(ParquetError) -> (ParquetPageHeader, Int) {
    var reader = ThriftReader(bytes)
    var header = ParquetPageHeader()
    try reader.structure { (reader, field, kind) throws(ParquetError) in
      switch (field, kind) {
      case (1, _): header.type = try reader.int()
      case (2, _): header.uncompressedBytes = try reader.int()
      case (3, _): header.compressedBytes = try reader.int()
      case (5, .structure), (7, .structure):
        try reader.structure { (reader, field, kind) throws(ParquetError) in
          switch field {
          case 1: header.valueCount = try reader.int()
          case 2: header.encoding = try reader.int()
          case 3 where kind.rawValue == 5:
            if try reader.int() != ParquetEncoding.rle {
              throw ParquetError("its levels are in an encoding of old, which is not read here")
            }
          default: try reader.skip(kind)
          }
        }
      case (8, .structure):
        try reader.structure { (reader, field, kind) throws(ParquetError) in
          switch field {
          case 1: header.valueCount = try reader.int()
          case 4: header.encoding = try reader.int()
          case 5: header.definitionBytes = try reader.int()
          case 6: header.repetitionBytes = try reader.int()
          case 7:
            header.isCompressed = kind == .boolTrue
            try reader.skip(kind)
          default: try reader.skip(kind)
          }
        }
      default: try reader.skip(kind)
      }
    }
    guard header.uncompressedBytes >= 0, header.compressedBytes >= 0, header.valueCount >= 0, header.definitionBytes >= 0,
      header.repetitionBytes >= 0
    else { throw .damaged }
    return (header, reader.position)
  }
}
