internal import KafkaClient
internal import Model
internal import Query

/// Reads the partitions that a consumer group gives us, and commits what was printed.
///
/// Printed means written to standard output: what is committed was seen, and after a crash some records may come again.
struct GroupReader {
  private static let commitInterval = Duration.seconds(1)

  let client: KafkaClient
  let printer: RecordPrinter
  /// Where to begin in partitions for which the group has committed nothing.
  let start: RangeBound
  let isFollowing: Bool
  let member: GroupMember

  func run() async throws {
    defer { printer.finish() }
    var session = Session()
    do {
      while try await readOneGeneration(&session) {}
    } catch {
      // The task may be cancelled (Ctrl-C); committing and leaving must work all the same, so they have a task of their own.
      await leave(committing: session.uncommitted)
      throw error
    }
    await leave(committing: session.uncommitted)
  }

  private struct Session {
    /// Where each partition ended when we first had it.
    var ends: [TopicPartition: Int64] = [:]
    /// Offsets of printed records that are not committed yet.
    var uncommitted: [TopicPartition: Int64] = [:]
  }

  private func leave(committing offsets: [TopicPartition: Int64]) async {
    let member = member
    await Task.detached {
      if !offsets.isEmpty { _ = try? await member.commit(offsets) }
      await member.leave()
    }.value
  }

  /// Joins and reads until the group rebalances.
  ///
  /// - Returns: false when there is nothing more to do.
  private func readOneGeneration(_ session: inout Session) async throws -> Bool {
    let assigned = try await member.join()
    var cursors = try await cursors(for: assigned, &session)
    let clock = ContinuousClock()
    var committedAt = clock.now
    while true {
      if await member.mustRejoin {
        try await commit(&session)
        return true
      }
      if printer.isDone || (!isFollowing && cursors.positions.isEmpty) {
        try await commit(&session)
        return false
      }
      if cursors.positions.isEmpty {
        // More members than partitions: wait until that changes.
        try await Task.sleep(for: TopicReader.wait)
        continue
      }
      do {
        var printed: [TopicPartition: Int64] = [:]
        for each in try await client.fetch(cursors.positions, wait: TopicReader.wait) {
          if printer.isDone { break }
          let position = cursors.positions[each.partition]!
          let next = try printer.print(each, from: position, in: cursors.wanted(each.partition))
          if next > position { printed[each.partition] = next }
          cursors.advance(each.partition, to: next)
        }
        try printer.flush()
        session.uncommitted.merge(printed) { $1 }
      } catch let error as KafkaClientError where error.kafkaCode == .offsetOutOfRange {
        try await cursors.skipWhatIsGone(client)
      }
      if clock.now - committedAt >= Self.commitInterval {
        try await commit(&session)
        committedAt = clock.now
      }
    }
  }

  private func commit(_ session: inout Session) async throws {
    if session.uncommitted.isEmpty { return }
    if try await !member.commit(session.uncommitted) {
      say("the group has gone on without this member; records printed last may come again elsewhere")
    }
    session.uncommitted = [:]
  }

  private func cursors(for assigned: [TopicPartition], _ session: inout Session) async throws -> ReadCursors {
    if assigned.isEmpty { return ReadCursors(starts: [:], ends: [:]) }
    let committed = try await client.committedOffsets(of: member.group, partitions: assigned)
    let fresh = assigned.filter { committed[$0] == nil }
    var starts = fresh.isEmpty ? [:] : try await StartOffsets.find(start, in: fresh, client)
    for (partition, offset) in committed { starts[partition] = PartitionStart(position: offset, firstWanted: offset) }
    if !isFollowing {
      let unknown = assigned.filter { session.ends[$0] == nil }
      if !unknown.isEmpty {
        session.ends.merge(try await client.offsets(.latest, of: unknown).compactMapValues { $0 }) { first, _ in first }
      }
    }
    return ReadCursors(starts: starts, ends: session.ends)
  }
}
