internal import Model
internal import Records

/// Why a batch of an idempotent producer may come before those in front of it: they were refused a moment ago, and will be sent again.
///
/// A client has several batches on their way. Where the first is refused (another node still seems to lead, too few replicas are in sync, the disk is
/// full) and the next one meets a partition that takes records again, OUT_OF_ORDER_SEQUENCE_NUMBER would be true, but makes librdkafka begin a new
/// producer epoch for all its partitions: batches of others whose answers were lost, and that are in the log, are then taken a second time. Refused
/// for the same reason as the first they come again, in order, and are recognised.
struct RecentRefusal {
  /// For as long as this: a gap that is still there then is one.
  static let milliseconds: Int64 = 5_000

  private let code: ErrorCode
  private let since: Int64

  /// - Parameter now: milliseconds, by the node's clock.
  init(_ code: ErrorCode, now: Int64) { (self.code, since) = (code, now) }

  /// What a batch is told that does not follow `state`; nil where nothing that it waits for can come any more.
  ///
  /// - Parameter state: nil for a producer that is not known, and is taken at any sequence where nothing was refused.
  func refusal(of header: BatchHeader, after state: ProducerState?, now: Int64) -> AppendOutcome? {
    guard now >= since, now - since < Self.milliseconds, Self.isAhead(header, of: state) else { return nil }
    return .rejected(
      code, message: "sequence \(header.baseSequence) of producer \(header.producerID) comes before those that were refused")
  }

  private static func isAhead(_ header: BatchHeader, of state: ProducerState?) -> Bool {
    guard let state, state.epoch == header.producerEpoch, let newest = state.batches.last else {
      return header.baseSequence > 0
    }
    // Sequences wrap: what is less than half of them away is ahead.
    let distance = (Int64(header.baseSequence) - Int64(newest.lastSequence) - 1) & 0x7FFF_FFFF
    return distance > 0 && distance < 0x4000_0000
  }
}
