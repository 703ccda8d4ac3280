public import Model
public import Pages

/// A sealed file that a follower lacks.
public struct WantedFile: Hashable, Sendable {
  public var base: Int64
  public var generation: Int64
  /// Bytes that are there already.
  public var have: Int64

  public init(base: Int64, generation: Int64, have: Int64) {
    self.base = base
    self.generation = generation
    self.have = have
  }
}

/// Why a follower's copy did not take what it was given.
public enum SinkError: Error, Hashable, Sendable {
  /// The copy is not what the set was made against, or did not become what it should. Nothing is changed; the partition is followed anew
  /// from where the copy stands, and the leader finds out what it lacks.
  case diverged(String)
  /// Anything else. The stream is begun anew after a while.
  case failed(String)
}

/// One partition as a follower keeps it. Its calls may block; they come from one thread at a time, not always the same.
public protocol ReplicaSink: AnyObject, Sendable {
  /// Nil for a copy that has nothing yet.
  var standing: FollowerStanding? { get }
  /// Sealed files that are missing or differ, the most urgent one first.
  var wantedFiles: [WantedFile] { get }
  /// Whether it could lead without a loss: no sealed file is missing. The leader is told with what is durable.
  var isComplete: Bool { get }
  /// True once when what is here is not what the leader was told any more, because damage was found: the partition is followed anew then.
  func takeWishToBegin() -> Bool
  /// Who is told when one of these may have changed although nothing came; on any thread, must not block.
  func setObserver(_ observer: @escaping @Sendable () -> Void)

  /// Visible at once, durable after `sync`.
  func apply(_ set: PageSet) throws(SinkError)
  /// Makes durable what was applied.
  ///
  /// - Returns: where the copy stands; nil if it has nothing.
  func sync() throws(SinkError) -> CommitPosition?
  /// May be more than what was applied; it is raised again after the next set.
  func raiseHighWatermark(to offset: Offset)
  func pageHashes(segmentBase: Int64) throws(SinkError) -> [UInt64]
  /// The last call for a file checks the whole of it.
  func writeFile(
    base: Int64, generation: Int64, offset: Int64, totalBytes: Int64, _ bytes: UnsafeRawBufferPointer
  ) throws(SinkError)
  /// The last call.
  func close()
}

extension ReplicaSink {
  public var isComplete: Bool { true }
  public func takeWishToBegin() -> Bool { false }
  public func setObserver(_ observer: @escaping @Sendable () -> Void) {}
}
