public import Model

/// What a topic asks of the batches that producers send to it.
public struct ValidationRules: Sendable {
  /// `max.message.bytes`: bytes of a batch, as sent and as stored.
  public var batchBytesMax: Int
  public var timestampType: TimestampType
  /// `message.timestamp.before.max.ms` and `.after.max.ms`, against `now`.
  public var timestampBeforeMaxMilliseconds: Int64
  public var timestampAfterMaxMilliseconds: Int64
  public var compression: CompressionPolicy
  /// Whether every record needs a key, as in compacted topics.
  public var requiresKeys = false
  /// The broker's clock, milliseconds.
  public var now: TimestampMilliseconds
  /// Bytes that one batch may decompress to.
  public var decompressedBytesMax = Limits.decompressedBatchBytesMax

  public init(configuration: TopicConfiguration, now: TimestampMilliseconds) {
    batchBytesMax = Int(configuration.maxMessageBytes)
    timestampType = configuration.timestampType
    timestampBeforeMaxMilliseconds = configuration.timestampBeforeMaxMilliseconds
    timestampAfterMaxMilliseconds = configuration.timestampAfterMaxMilliseconds
    compression = configuration.compression
    self.now = now
  }

  /// The timestamps that records may have; -1, "none", is allowed besides.
  var timestamps: ClosedRange<Int64> {
    guard timestampType == .createTime else { return .min ... .max }
    let earliest = now.subtractingReportingOverflow(max(0, timestampBeforeMaxMilliseconds))
    let latest = now.addingReportingOverflow(max(0, timestampAfterMaxMilliseconds))
    return (earliest.overflow ? .min : earliest.partialValue)...(latest.overflow ? .max : latest.partialValue)
  }
}

/// What validation learnt of one batch, as it will be stored.
public struct BatchSummary: Sendable {
  public var header: BatchHeader
  /// Byte position of the batch in the records buffer.
  public var position: Int
  public var byteCount: Int
  /// Smallest and largest timestamp of its records, milliseconds; under LogAppendTime both are the time of the append.
  public var minTimestamp: TimestampMilliseconds
  public var maxTimestamp: TimestampMilliseconds
  /// Bytes of its records section, decoded.
  public var decompressedBytes: Int

  public init(
    header: BatchHeader, position: Int, byteCount: Int, minTimestamp: TimestampMilliseconds,
    maxTimestamp: TimestampMilliseconds, decompressedBytes: Int
  ) {
    self.header = header
    self.position = position
    self.byteCount = byteCount
    self.minTimestamp = minTimestamp
    self.maxTimestamp = maxTimestamp
    self.decompressedBytes = decompressedBytes
  }
}

/// Why a partition's batch is not taken, in the terms of a produce response.
public struct BatchRejection: Error, Equatable, Sendable {
  /// One record that is at fault (Produce v8 on).
  public struct RecordError: Hashable, Sendable {
    /// The record's index in its batch.
    public var batchIndex: Int32
    public var message: String
    public init(batchIndex: Int32, message: String) {
      self.batchIndex = batchIndex
      self.message = message
    }
  }
  /// Record errors listed for one batch; the answer to a batch of thousands of bad records need not be larger than the batch.
  static let recordErrorsMax = 100

  public var code: ErrorCode
  public var message: String
  public var recordErrors: [RecordError]

  public init(_ code: ErrorCode, _ message: String, recordErrors: [RecordError] = []) {
    self.code = code
    self.message = message
    self.recordErrors = recordErrors
  }

  /// The answer to bytes that could not be read as a batch: CORRUPT_MESSAGE where a retry may help, because the bytes are not
  /// those that were sent; INVALID_RECORD where it was sent like that.
  init(_ error: RecordsError) {
    let code: ErrorCode =
      switch error {
      case .checksumMismatch, .implausibleLength: .corruptMessage
      case .unsupportedMagic(let magic): magic == 0 || magic == 1 ? .invalidRecord : .corruptMessage
      case .unknownCodec: .unsupportedCompressionType
      case .decompressedTooLarge, .recordTooLarge: .messageTooLarge
      case .outOfMemory: .unknownServerError
      case .truncated, .malformedRecord, .recordsMissing, .bytesLeftOver, .undecodable: .invalidRecord
      }
    self.init(code, error.description)
  }
}
