import Export
import NIOCore
import Query

extension HistoryDoors {
  /// Writes the records of a range of topics in the format asked for. On a read thread.
  static func export(
    _ request: ExportRequest, of catalog: any HistoryCatalog, now: Int64, _ control: ScanControl,
    helper: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void, into output: StreamedOutput
  ) throws {
    let range = try HistoryRange(
      from: try request.from.map { try RangeBound($0, now: now) } ?? .beginning,
      to: try request.to.map { try RangeBound($0, now: now) } ?? .end)
    let export = try HistoryExport(
      source: try catalog.cut(of: request.topics),
      selection: ExportSelection(
        topics: request.topics, range: range, slices: request.slices, condition: request.condition, columns: request.columns),
      columns: catalog.columns(of:))
    // One beside the thread that this runs on, for as long as a stretch takes: statements want them too.
    let helpers = ExportHelpers(count: 1, run: helper)
    let sink: ([UInt8]) throws(ExportError) -> Void = { bytes throws(ExportError) in
      do throws(StreamedOutput.Abandoned) { try output.write(ByteBuffer(bytes: bytes)) } catch { throw .outputClosed }
    }
    if let format = request.format.written {
      let stream = ExportStream(format.makeWriter(export.schema, sink: sink))
      try export.run(control: control, helpers: helpers, into: stream)
      try stream.finish()
    } else {
      let frames = RecordFrameWriter(sink: sink)
      try export.run(control: control, helpers: helpers, into: frames)
      try frames.finish()
    }
  }
}
