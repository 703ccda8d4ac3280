/// Gives out producer ids one by one, from blocks that the cluster gave this node: what is left of a block when the node ends is nobody's.
public actor ProducerIDs {
  private let cluster: any ClusterStore
  private var block: Range<Int64> = 0..<0
  private var refill: Task<Result<Range<Int64>, ClusterError>, Never>?

  private static let blockSize: Int64 = 1000

  public init(_ cluster: any ClusterStore) { self.cluster = cluster }

  /// A producer id that was never given out, by any node, also not before a crash.
  ///
  /// - Throws: a new block is due and the cluster cannot give one.
  public func next() async throws(ClusterError) -> Int64 {
    while true {
      if let id = block.popFirst() { return id }
      // Whoever comes meanwhile waits for the same block.
      let cluster = cluster
      let running =
        refill
        ?? Task {
          do throws(ClusterError) {
            return .success(try await cluster.takeProducerIDs(count: Self.blockSize))
          } catch { return .failure(error) }
        }
      refill = running
      let outcome = await running.value
      if refill == running {
        refill = nil
        block = try outcome.get()
      } else if case .failure(let error) = outcome {
        throw error
      }
    }
  }
}
