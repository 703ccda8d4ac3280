import NIOCore
public import Query

/// What reads bytes and text of Postgres clients, behind calls that a fuzzer can make. Whatever comes in ends in a value or in an
/// error, which is swallowed.
public enum PostgresFuzzing {
  /// A stream of a client's bytes; however it is cut, the same comes out of it.
  public static func stream(_ bytes: UnsafeRawBufferPointer) {
    guard let seed = bytes.first else { return }
    let stream = ByteBuffer(bytes: bytes.dropFirst())
    func cut(_ size: (Int) -> Int) -> [FrontendDecoder.Item] {
      var decoder = FrontendDecoder()
      var rest = stream
      var items: [FrontendDecoder.Item] = []
      do throws(ProtocolViolation) {
        while rest.readableBytes > 0 {
          decoder.append(rest.readSlice(length: min(rest.readableBytes, max(1, size(rest.readerIndex))))!)
          while let item = try decoder.next() { items.append(item) }
        }
      } catch {}
      return items
    }
    let dripped = cut { _ in 1 }
    let pieces = cut { Int(seed) ^ ($0 & 31) }
    // A request for encryption is refused where more bytes came with it, which depends on the cut.
    if !dripped.contains(.startup(.encryption)), !pieces.contains(.startup(.encryption)) {
      precondition(dripped == pieces, "messages that drip are not those that arrive in pieces")
    }
    for case .message(let message) in dripped { read(message) }
  }

  private static func read(_ message: FrontendMessage) {
    guard case .bind(let bind) = message else { return }
    for value in bind.parameters {
      for type in PostgresType.allCases {
        _ = try? ParameterReader.read(value, as: type, .text)
        _ = try? ParameterReader.read(value, as: type, .binary)
      }
    }
  }

  /// SQL text as a client sends it, run by a session over `catalog`.
  public static func statements(_ text: String, over catalog: any HistoryCatalog, limits: SQLLimits) {
    guard let settings = try? PostgresSettings(startup: [:]) else { return }
    let history = PostgresHistory(catalog: catalog, limits: limits) { work in work() }
    let session = PostgresSession(
      history: history, settings: settings, identity: PostgresIdentity(processID: 1, secret: 1), running: RunningStatement())
    var messages: [FrontendMessage] = [
      .query(text), .parse(.init(statement: "", sql: text, parameterTypes: [])), .describe(.statement("")),
      .bind(
        .init(portal: "", statement: "", parameterFormats: [], parameters: [], resultFormats: [.binary])),
      .execute(portal: "", rowsMax: 3), .sync,
    ]
    var slices = 0
    while slices < 100 {
      var out = ByteBuffer()
      guard case .more = session.work(messages, into: &out) else { break }
      messages = []
      slices += 1
    }
    session.dispose()
  }
}
