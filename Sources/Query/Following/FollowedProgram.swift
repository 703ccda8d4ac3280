internal import SQLite

/// What SQLite has made of a statement, as far as following it goes: whether it is one pass over one table, whose rows come one by
/// one and do not depend on others.
///
/// It is told from the program rather than from the text: whatever spelling leads to the same pass can be followed, and what this
/// does not know is refused.
struct FollowedProgram {
  /// Why it cannot be followed; nil if it can.
  var refusal: String?
  /// Rows come in the order of one scan: by partition, then offset.
  var isInScanOrder = true

  /// - Parameter instructions: of EXPLAIN: names, and the first operand.
  init(_ instructions: [(name: String, operand: Int64)]) {
    var cursors: Set<Int64> = []
    var filters = 0
    var results = 0
    for (index, (name, operand)) in instructions.enumerated() {
      switch name {
      case "VOpen": cursors.insert(operand)
      case "VFilter": filters += 1
      case "ResultRow": results += 1
      case "AggStep", "AggStep1", "AggInverse", "AggValue", "AggFinal": refusal = refusal ?? "it has an aggregate or a window"
      case "SorterOpen", "SorterInsert", "SorterSort", "SorterData", "Sort", "Sequence", "SequenceTest":
        refusal = refusal ?? "it has an order"
      case "Compare", "Permutation": refusal = refusal ?? "it has groups or an order"
      case "InitCoroutine", "Yield", "EndCoroutine", "OpenAutoindex", "OpenPseudo":
        refusal = refusal ?? "it has a subquery, a join or several SELECTs"
      case "DecrJumpZero", "OffsetLimit", "IfPos", "IfNotZero": refusal = refusal ?? "it has a limit"
      case "OpenEphemeral":
        // The list of an IN is gathered once, where it is first needed; everything else remembers rows.
        let before = index > 0 ? instructions[index - 1].name : ""
        if !["Once", "BeginSubrtn"].contains(before) {
          refusal = refusal ?? "it has DISTINCT, a compound or something else that remembers rows"
        }
      case "Rewind", "Next", "Prev", "Last", "RowSetTest": isInScanOrder = false
      default: break
      }
    }
    if filters != 1 { isInScanOrder = false }
    if cursors.isEmpty { refusal = refusal ?? "it reads no topic" }
    if results != 1 { refusal = refusal ?? "it has several SELECTs" }
    if cursors.count > 1 { refusal = refusal ?? "it reads several tables" }
  }
}
