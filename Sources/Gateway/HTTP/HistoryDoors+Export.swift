import Export
import NIOCore
import Query

extension HistoryDoors {
  /// Writes the records of a range of topics in the format asked for. On a read thread.
  static func export(
    _ request: ExportRequest, of source: any HistorySource, now: Int64, _ control: ScanControl, into output: StreamedOutput
  ) throws {
    let range = try HistoryRange(
      from: try request.from.map { try RangeBound($0, now: now) } ?? .beginning,
      to: try request.to.map { try RangeBound($0, now: now) } ?? .end)
    let export = try HistoryExport(
      source: source,
      selection: ExportSelection(topics: request.topics, range: range, slices: request.slices, condition: request.condition))
    let sink: ([UInt8]) throws(ExportError) -> Void = { bytes throws(ExportError) in
      do throws(StreamedOutput.Abandoned) { try output.write(ByteBuffer(bytes: bytes)) } catch { throw .outputClosed }
    }
    if let format = request.format.written {
      let stream = ExportStream(format.makeWriter(request.columns, sink: sink))
      try export.run(control: control, into: stream)
      try stream.finish()
    } else {
      let frames = RecordFrameWriter(sink: sink)
      try export.run(control: control, into: frames)
      try frames.finish()
    }
  }
}
