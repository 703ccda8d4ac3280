/// Hands records to one writer: an output that is a single stream.
public final class ExportStream: RecordSink {
  private let writer: any RecordWriter

  public init(_ writer: any RecordWriter) { self.writer = writer }

  public func begin(_ parts: [ExportPart], _ fields: [ExportField]) {}

  public func take(_ record: ExportRecord) throws(ExportError) {
    try writer.write(record)
  }

  public func end(_ part: ExportPart) {}
  public func finish() throws(ExportError) { try writer.finish() }
}
