/// Rows as server-sent events: `columns`, then a `row` each, with the position behind it as its id; a comment while nothing comes.
public final class EventWriter: RowWriter {
  public let output: OutputBuffer
  private let rows: JSONWriter
  private var id = ""

  /// - Parameter sink: gets whole events.
  public init(sink: @escaping ([UInt8]) throws -> Void) {
    output = OutputBuffer(sink: sink)
    rows = JSONWriter(output, isArray: false)
  }

  public func begin(columns: [String]) throws {
    try rows.begin(columns: columns)
    var names: [UInt8] = []
    for (index, name) in rows.names.enumerated() {
      if index > 0 { names.append(0x2C) }
      JSONText.append(string: name, to: &names)
    }
    output.bytes.append(contentsOf: "event: columns\ndata: [".utf8)
    output.bytes.append(contentsOf: names)
    output.bytes.append(contentsOf: "]\n\n".utf8)
  }

  /// - Parameter position: behind the row that comes next.
  public func willWrite(_ position: FollowPosition) { id = position.text }

  public func write(_ row: borrowing ResultRow) throws {
    output.bytes.append(contentsOf: "event: row\nid: \(id)\ndata: ".utf8)
    try rows.write(row)
    output.bytes.append(0x0A)
  }

  /// Tells the client, and whatever lies between, that the connection is meant to be open.
  public func idle() throws {
    output.bytes.append(contentsOf: ":\n\n".utf8)
    try output.flush()
  }

  public func end() throws {}
}
