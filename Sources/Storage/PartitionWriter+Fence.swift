internal import CoreMetrics
internal import Logging
internal import Model
internal import SQLite
internal import Synchronization

// A failed sync is final: the kernel may have dropped the pages and forgets that it did. The WAL is never trusted again, also
// not after reopening; what is durable is copied, verified, into a new file.

extension PartitionWriter {
  /// Takes the partition's appends out of service until it has been rebuilt. What was committed and not synced is lost to it; what is
  /// below the high watermark was durable before and is read on.
  func fence(_ reason: String) {
    guard fenceReason == nil else { return }
    fenceReason = reason
    fenceCount += 1
    log.shared.withLock { $0.failure = reason }
    do throws(StorageError) { try FenceMark(name: active.name, endOffset: extent.endOffset).write(log.directory) } catch {
      store.logger.error(
        "the fence could not be marked on disk", metadata: ["partition": "\(log.topicPartition)", "error": "\(error)"])
    }
    transaction = nil
    endCapture(.failed(.fenced(reason)))
    failWaiting(.kafkaStorageError, reason)
    if let segment {
      segment.rollback()
      segment.close(removesWAL: false)
      lane.noteClosed()
      setSegment(nil)
    }
    store.readers.drop(active)
    store.noteFenced(1)
    store.logger.error("partition fenced", metadata: ["partition": "\(log.topicPartition)", "reason": "\(reason)"])
    tellCluster()
    lane.watch(self)
  }

  /// Another replica may be able to lead while this one cannot.
  private func tellCluster() {
    guard !log.isReplica else { return }
    store.damaged(DamagedLeader(topicPartition: log.topicPartition, topicID: log.topicID, epoch: log.leaderEpoch))
  }

  /// Goes on with a fence of an earlier life that could not be lifted when the partition was opened.
  func stayFenced(_ reason: String) {
    fenceReason = reason
    log.shared.withLock { $0.failure = reason }
    store.noteFenced(1)
    noteRebuildFailure(reason)
    lane.watch(self)
  }

  /// Copies what is durable into a new file on a read thread; the lane goes on with its other partitions.
  func startRebuild() {
    guard !isRebuilding, rebuildRetry.isDue() else { return }
    isRebuilding = true
    let (name, endOffset, state, options, now) = (active.name, extent.endOffset, state, options, store.now())
    let (log, store) = (log, store)
    store.readThreads.submitRepair {
      let outcome = log.backgroundWork.perform {
        Result { () throws(StorageError) in
          // What a failed roll could not remove would be the active segment after a crash, without what is appended to this one.
          for newer in try FileSystem.list(log.directory).compactMap({ SegmentName(fileName: $0) })
          where newer.baseOffset > name.baseOffset {
            try SegmentBuilder.removeDatabase("\(log.directory)/\(newer.fileName)")
          }
          return try SegmentRebuild.rebuild(name, in: log.directory, upTo: endOffset, state: state, options: options, now: now)
        }
      }
      guard let outcome else { return }
      store.lane(of: log).submit { lane in
        lane.loadedWriter(of: log)?.finishRebuild(outcome)
      } orElse: {
        // The fence is marked on disk: the next start rebuilds.
      }
    }
  }

  private func finishRebuild(_ outcome: Result<SegmentName, StorageError>) {
    isRebuilding = false
    do throws(StorageError) {
      let name = try outcome.get()
      let path = "\(log.directory)/\(name.fileName)"
      lane.makeRoom(sparing: nil)
      let writer = try SegmentWriter(path: path, cacheKiB: options.writerCacheKiB, syncsWAL: true)
      guard let (rebuilt, extent) = try storage({ () throws(SQLiteError) in try SegmentSQL.load(writer.connection) }) else {
        throw .fenced("\(path) has no partition state")
      }
      precondition(extent.endOffset == self.extent.endOffset, "a rebuilt segment ends elsewhere")
      lane.noteOpened()
      let old = active
      active = SegmentFile(directory: log.directory, name: name, phase: .active, record: nil)
      setSegment(writer)
      state = rebuilt
      self.extent = extent
      fenceReason = nil
      // Followers may have commits that are lost here: what they said counts no more.
      if let replicas { beginReplication(replicas.set, highWatermark: replicas.highWatermark, after: replicas) }
      rebuildRetry.reset()
      rebuildComplaint = nil
      store.noteFenced(-1)
      FenceMark.remove(log.directory)
      publishSegments(log.shared.withLock { $0.segments }.dropLast() + [active])
      removals.append(old)
      store.logger.notice("partition rebuilt", metadata: ["partition": "\(log.topicPartition)", "file": "\(path)"])
    } catch { noteRebuildFailure("\(error)") }
    lane.watch(self)
  }

  /// The partition stays fenced and is read on; the next try comes later than the last one.
  private func noteRebuildFailure(_ complaint: String) {
    rebuildRetry.noteFailure()
    tellCluster()
    store.metrics.rebuildsFailed.increment()
    guard rebuildComplaint != complaint else { return }
    rebuildComplaint = complaint
    store.logger.error(
      "the partition stays fenced: what was durable cannot be copied whole; it is read as far as it is intact, and takes no appends",
      metadata: ["partition": "\(log.topicPartition)", "error": "\(complaint)"])
  }
}
