import Export
import NIOCore
import Query

extension HistoryDoors {
  /// Writes a range of topics as JSON Lines. On a read thread.
  static func export(
    _ request: ExportRequest, of source: any HistorySource, now: Int64, _ control: ScanControl, into output: StreamedOutput
  ) throws {
    let range = try HistoryRange(
      from: try request.from.map { try RangeBound($0, now: now) } ?? .beginning,
      to: try request.to.map { try RangeBound($0, now: now) } ?? .end)
    let export = try JSONLinesExport(source: source, topics: request.topics, range: range)
    _ = try export.run(control: control) { bytes throws(ExportError) in
      do throws(StreamedOutput.Abandoned) {
        try output.write(ByteBuffer(bytes: bytes))
      } catch { throw .outputClosed }
    }
  }
}
