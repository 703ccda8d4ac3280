internal import Model
internal import SQLite

/// What the scans of one query have in common. Used by the thread that runs the query.
final class ScanContext {
  let control: ScanControl
  /// Of one record in a compressed batch: some kilobytes can be a gigabyte, which no statement could return.
  var recordBytesMax = Limits.queryRecordBytes
  var statistics = ScanStatistics()
  /// Why a scan failed, before SQLite made a message of it.
  var failure: HistoryError?
  /// SQLite parses the declaration of one of our own tables, which the authorizer must let pass.
  var isDeclaring = false
  /// What the authorizer did not permit, in words.
  var refusal: String?
  /// A statement was planned that wants its rows in an order, or not all of them.
  var wantsOrderOrLimit = false
  /// While EXPLAIN QUERY PLAN is prepared.
  var explanation: Explanation?
  /// Whoever asks needs its rows in the order in which they lie: nothing is left to a scan that SQLite might carry out in several.
  var needsOnePass = false
  /// The cursor that was opened last.
  weak var cursor: TopicCursor?
  /// Where the rows of the statement go that is run now.
  var output: OutputBuffer?
  /// For text that is made on the way to SQLite.
  var text: [UInt8] = []

  /// Around SQLite's look at the declaration of one of our own tables.
  func whileDeclaring(_ declare: () -> CInt) -> CInt {
    isDeclaring = true
    defer { isDeclaring = false }
    return declare()
  }

  /// The time is over or the query cancelled, which is noted as its failure.
  var isOver: Bool {
    if isHosted { return false }
    do throws(HistoryError) { try control.check() } catch {
      failure = error
      return true
    }
    return false
  }

  /// The statements are somebody else's, who has told SQLite himself when they end.
  private let isHosted: Bool

  init(control: ScanControl, isHosted: Bool = false) {
    self.control = control
    self.isHosted = isHosted
  }

  private var evaluation: ColumnEvaluation?
  private var match: TextMatch?

  /// Where texts are searched for words; made when the first is.
  func textMatch() throws(VirtualTableError) -> TextMatch {
    if let match { return match }
    let made: TextMatch
    do throws(SQLiteError) { made = try TextMatch() } catch { throw .failed(error.message) }
    match = made
    return made
  }

  /// Where declared columns are computed; made when the first is asked for.
  func columnEvaluation() throws(ColumnRefusal) -> ColumnEvaluation {
    if let evaluation { return evaluation }
    let made: ColumnEvaluation
    do throws(SQLiteError) { made = try ColumnEvaluation(control: control) } catch { throw ColumnRefusal(error.message) }
    evaluation = made
    return made
  }
}
