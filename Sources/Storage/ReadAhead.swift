internal import Model
internal import NIOCore
internal import Records

/// What consumers who read a log from the disk will ask for next, read before they do: the disk works while they do.
///
/// A reader is known by where its last read ended. One that begins there again reads on, and from then on the next piece is read as
/// soon as it has got the one before.
///
// Safe because: everything that changes is guarded by `monitor`.
final class ReadAhead: @unchecked Sendable {
  /// A reader by the log and the offset it will ask for next.
  private struct Place: Hashable {
    var log: ObjectIdentifier
    var offset: Int64
  }

  private struct Reader {
    var log: PartitionLog
    /// Bytes it asks for at a time.
    var byteCount: Int
    var lastUse: Int64
    var piece: Piece = .none
  }

  private enum Piece {
    case none
    case waiting
    case reading
    case ready(FetchedRecords)
  }

  private let monitor = Monitor()
  private var readers: [Place: Reader] = [:]
  /// Bytes that are ready, or room for them is taken.
  private var byteCount = 0
  private let bytesMax: Int
  private var isEnded = false
  private unowned let threads: ReadThreads

  /// Readers that are remembered.
  private static let readersMax = 256
  /// A piece that nobody has come for in this time may give way to another.
  private static let staleAfter: Int64 = 2_000_000_000

  init(bytesMax: Int, threads: ReadThreads) {
    self.bytesMax = bytesMax
    self.threads = threads
  }

  /// The piece at `offset`, if it is there and no larger than `maxBytes`; the next one is then being read. Never blocks.
  func take(_ log: PartitionLog, from offset: Int64, maxBytes: Int) -> FetchedRecords? {
    let place = Place(log: ObjectIdentifier(log), offset: offset)
    monitor.lock()
    guard let reader = readers[place], case .ready(let records) = reader.piece, records.byteCount <= maxBytes else {
      monitor.unlock()
      return nil
    }
    readers[place] = nil
    byteCount -= reader.byteCount
    var following = reader
    // The room it had when it was first seen may have been what others had left.
    following.byteCount = min(maxBytes, Limits.coldFetchBytesMax)
    let next = goOn(following, at: records.nextOffset.rawValue)
    monitor.unlock()
    if let next { threads.submitAhead { [self] in read(next) } }
    return records
  }

  /// The same, waiting for a piece that is being read: on a read thread.
  func takeWaiting(_ log: PartitionLog, from offset: Int64, maxBytes: Int) -> FetchedRecords? {
    let place = Place(log: ObjectIdentifier(log), offset: offset)
    monitor.lock()
    while let reader = readers[place], case .reading = reader.piece { monitor.wait() }
    // One that waits for a thread waits for this one, perhaps: whoever asks reads himself.
    if let reader = readers[place], case .waiting = reader.piece { giveUp(place, reader) }
    monitor.unlock()
    return take(log, from: offset, maxBytes: maxBytes)
  }

  /// Notes a read from the disk, of at most `maxBytes`, that got as far as `nextOffset`.
  func noteRead(_ log: PartitionLog, from offset: Int64, to nextOffset: Int64, maxBytes: Int) {
    guard nextOffset > offset else { return }
    let place = Place(log: ObjectIdentifier(log), offset: offset)
    let reader = Reader(log: log, byteCount: maxBytes, lastUse: monotonicNanoseconds())
    monitor.lock()
    let next = note(reader, at: place, nextOffset)
    monitor.unlock()
    if let next { threads.submitAhead { [self] in read(next) } }
  }

  /// Reads nothing ahead any more: the threads are about to end.
  func end() {
    monitor.withLock {
      isEnded = true
      for (place, reader) in readers { remove(place, reader) }
    }
  }

  /// Forgets everything about a log that is gone.
  func drop(_ log: PartitionLog) {
    monitor.withLock {
      for (place, reader) in readers where place.log == ObjectIdentifier(log) { remove(place, reader) }
    }
  }

  /// Lets go of what nobody has come for.
  func dropStale() {
    let limit = monotonicNanoseconds() - Self.staleAfter
    monitor.withLock {
      for (place, reader) in readers where reader.lastUse < limit { remove(place, reader) }
    }
  }

  // Under the lock; what they return is to be read (`read`) when it is free again

  private func note(_ reader: Reader, at place: Place, _ nextOffset: Int64) -> Place? {
    if let known = readers[place] {
      // Somebody else's piece at the same place stays.
      guard case .none = known.piece else { return nil }
      readers[place] = nil
      return goOn(reader, at: nextOffset)
    }
    if readers.count >= Self.readersMax { dropStalest() }
    let next = Place(log: place.log, offset: nextOffset)
    if readers.count < Self.readersMax, readers[next] == nil { readers[next] = reader }
    return nil
  }

  /// The reader's next piece, if there is room for it and more in the log.
  private func goOn(_ reader: Reader, at offset: Int64) -> Place? {
    let place = Place(log: ObjectIdentifier(reader.log), offset: offset)
    guard readers[place] == nil else { return nil }
    var reader = reader
    reader.lastUse = monotonicNanoseconds()
    let isWanted = !isEnded && byteCount + reader.byteCount <= bytesMax && reader.log.isOnDiskOnly(at: Offset(offset))
    reader.piece = isWanted ? .waiting : .none
    if isWanted { byteCount += reader.byteCount }
    readers[place] = reader
    return isWanted ? place : nil
  }

  private func dropStalest() {
    guard let (place, reader) = readers.min(by: { $0.value.lastUse < $1.value.lastUse }) else { return }
    remove(place, reader)
  }

  private func giveUp(_ place: Place, _ reader: Reader) {
    byteCount -= reader.byteCount
    readers[place]?.piece = .none
  }

  private func remove(_ place: Place, _ reader: Reader) {
    switch reader.piece {
    case .none: break
    case .waiting, .ready: byteCount -= reader.byteCount
    // Whoever reads it gives its room back.
    case .reading: return
    }
    readers[place] = nil
  }

  // On a read thread

  private func read(_ place: Place) {
    monitor.lock()
    guard let reader = readers[place], case .waiting = reader.piece else { return monitor.unlock() }
    readers[place]?.piece = .reading
    monitor.unlock()
    // What cannot be read is said to whoever asks for it.
    let records = try? reader.log.readDisk(from: Offset(place.offset), maxBytes: reader.byteCount, wholeFirstBatch: false)
    monitor.lock()
    if let records, records.byteCount > 0 {
      readers[place]?.piece = .ready(records)
    } else {
      byteCount -= reader.byteCount
      readers[place]?.piece = .none
    }
    monitor.unlock()
    monitor.broadcast()
  }
}
