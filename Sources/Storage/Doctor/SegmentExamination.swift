internal import Model
internal import Records
internal import SQLite

extension Doctor {
  /// What is known of a segment before it is opened.
  struct SegmentExpectation {
    var partition: TopicPartition
    var topicID: TopicID?
    /// Of an older segment: what the active one says of it.
    var record: SegmentRecord?
  }

  /// Examines one segment: its state, and every batch in it.
  struct SegmentExamination {
    let path: String
    let name: SegmentName
    let expectation: SegmentExpectation

    struct Outcome {
      var state: PartitionState?
      /// The offset behind the last batch.
      var endOffset: Int64
    }

    /// Bytes of batches after which the read transaction is ended.
    private static let bytesPerTransaction = 16 << 20

    func examine(into examination: inout Examination) -> Outcome? {
      let isShard = expectation.partition.topic == CoordinatorTopic.name
      return examination.database(path, isShard ? .coordinator : .segment) { (connection, examination) throws(SQLiteError) in
        // State, sums and extent in one transaction: a running node goes on appending.
        try connection.execute("BEGIN")
        var loaded: (state: PartitionState, extent: ActiveExtent)?
        var lastBase: Int64?
        do throws(SQLiteError) {
          loaded = try SegmentSQL.load(connection)
          if let loaded {
            try judge(loaded.state, loaded.extent, connection, into: &examination)
          } else {
            examination.found(Finding(path, "the segment has no partition state", remedy: Remedy.restoreFile))
          }
          lastBase = try connection.integer("SELECT max(base_offset) FROM record_batch")
        } catch {
          guard error.isCorruption else { throw error }
          examination.found(Finding(path, error.words(about: path), remedy: Remedy.restoreFile))
          lastBase = .max
        }
        connection.rollback()
        if let lastBase { try scan(connection, upTo: lastBase, into: &examination) }
        guard let loaded else { return Outcome(state: nil, endOffset: name.baseOffset) }
        return Outcome(state: loaded.state, endOffset: loaded.extent.endOffset)
      }
    }

    private func judge(
      _ state: PartitionState, _ extent: ActiveExtent, _ connection: Connection, into examination: inout Examination
    ) throws(SQLiteError) {
      var complaints: [String] = []
      if state.topicPartition != expectation.partition { complaints.append("it is a segment of \(state.topicPartition)") }
      if let topicID = expectation.topicID, state.topicID != topicID {
        complaints.append("it is of topic id \(state.topicID), and the topic now has \(topicID)")
      }
      if state.baseOffset != name.baseOffset || state.generation != name.generation {
        complaints.append("it says that its base offset is \(state.baseOffset) and its generation \(state.generation)")
      }
      // Cut to 48 bits, lest a damaged count end the sum with an overflow.
      let sums = try connection.prepare(
        "SELECT coalesce(sum(byte_count & 0xFFFFFFFFFFFF), 0), coalesce(min(min_timestamp), ?1), coalesce(max(max_timestamp), ?2) FROM record_batch"
      )
      sums.bind(Int64.max, at: 1)
      sums.bind(Int64.min, at: 2)
      _ = try sums.step()
      if sums.integer(at: 0) != extent.batchBytes || sums.integer(at: 1) != extent.minTimestamp {
        complaints.append(
          "its batches have \(sums.integer(at: 0)) bytes and least timestamp \(sums.integer(at: 1)), but its state says "
            + "\(extent.batchBytes) and \(extent.minTimestamp)")
      }
      if let record = expectation.record {
        let found = (extent.endOffset, sums.integer(at: 0), sums.integer(at: 1), sums.integer(at: 2))
        if found != (record.endOffset, record.batchBytes, record.minTimestamp, record.maxTimestamp) {
          complaints.append(
            "it ends at \(found.0) with \(found.1) bytes and timestamps \(found.2) to \(found.3), but the active segment says "
              + "\(record.endOffset), \(record.batchBytes), \(record.minTimestamp) to \(record.maxTimestamp)")
        }
      }
      complaints += try producerComplaints(connection, end: extent.endOffset)
      for complaint in complaints {
        examination.found(Finding(path, complaint, remedy: "restore the partition's directory from a copy"))
      }
    }

    private func producerComplaints(_ connection: Connection, end: Int64) throws(SQLiteError) -> [String] {
      var complaints: [String] = []
      let rows = try connection.prepare("SELECT producer_id, producer_epoch, batches FROM producer_state")
      while try rows.step() {
        let id = rows.integer(at: 0)
        let bytes = rows.borrowedBlob(at: 2)
        let batches = ProducerState.decodeBatches(bytes)
        let isWhole = bytes.count == 24 * batches.count && batches.count <= Limits.producerBatchesRemembered
        var last: Int64 = -1
        var isOrdered = true
        for batch in batches {
          isOrdered = isOrdered && batch.baseOffset > last && batch.baseOffset < end && batch.baseSequence >= 0
          isOrdered = isOrdered && batch.lastSequence >= 0
          last = batch.baseOffset
        }
        if id < 0 || !isWhole || !isOrdered || Int16(exactly: rows.integer(at: 1)) == nil {
          complaints.append("the state of producer \(id) cannot be (its next batch may be taken twice or refused)")
        }
      }
      return complaints
    }

    /// Goes through the batches that were there when it began.
    private func scan(
      _ connection: Connection, upTo lastBase: Int64, into examination: inout Examination
    ) throws(SQLiteError) {
      let examiner = BatchExaminer(path: path, startOffset: name.baseOffset)
      do throws(SQLiteError) {
        let rows = try connection.prepare(
          "SELECT \(BatchRow.columns) FROM record_batch WHERE base_offset >= ?1 AND base_offset <= ?2 ORDER BY base_offset",
          isPersistent: true)
        rows.bind(lastBase, at: 2)
        var isAtEnd = false
        while !isAtEnd {
          rows.bind(examiner.resumeOffset, at: 1)
          var bytes = 0
          isAtEnd = true
          while try rows.step() {
            bytes += examiner.take(rows, into: &examination)
            if bytes >= Self.bytesPerTransaction {
              isAtEnd = false
              break
            }
          }
          rows.reset()
        }
      } catch {
        guard error.isCorruption else { throw error }
        try salvage(connection, examiner, upTo: lastBase, into: &examination)
      }
      examiner.finish(at: expectation.record?.endOffset, into: &examination)
    }

    /// Behind a damaged page: asks the index for the batches, so that those that cannot be read are named and the others examined.
    private func salvage(
      _ connection: Connection, _ examiner: BatchExaminer, upTo lastBase: Int64, into examination: inout Examination
    ) throws(SQLiteError) {
      var bases: [Int64] = []
      do throws(SQLiteError) {
        let index = try connection.prepare(
          "SELECT base_offset FROM record_batch INDEXED BY record_batch_time WHERE base_offset >= ? AND base_offset <= ?")
        index.bind(examiner.resumeOffset, at: 1)
        index.bind(lastBase, at: 2)
        while try index.step() { bases.append(index.integer(at: 0)) }
      } catch {
        guard error.isCorruption else { throw error }
      }
      bases.sort()
      let row = try connection.prepare("SELECT \(BatchRow.columns) FROM record_batch WHERE base_offset = ?", isPersistent: true)
      for base in bases {
        row.bind(base, at: 1)
        do throws(SQLiteError) {
          if try row.step() { _ = examiner.take(row, into: &examination) }
          row.reset()
        } catch {
          guard error.isCorruption else { throw error }
          examiner.noteUnreadable(base)
        }
      }
    }
  }
}
