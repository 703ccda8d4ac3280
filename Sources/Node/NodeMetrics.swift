import Cluster
import Gateway
import Glibc
import Metadata
import Query

/// What is measured of the process and the image when somebody asks.
enum NodeMetrics {
  static func samples(_ cluster: any ClusterStore, startedMilliseconds: Int64) -> [MetricSample] {
    let image = cluster.image
    var samples = [
      MetricSample("process_start_time_seconds", value: Double(startedMilliseconds) / 1000),
      MetricSample("topics", value: Double(image.topics.count)),
      MetricSample("partitions", value: Double(image.partitionCount)),
      MetricSample("build_info", labels: [("version", QuireNode.version)], value: 1),
    ]
    if let bytes = residentBytes() { samples.append(MetricSample("process_resident_memory_bytes", value: Double(bytes))) }
    samples.append(
      MetricSample("process_cpu_seconds_total", value: Double(processorNanoseconds()) / 1e9, isCounter: true))
    return samples
  }

  /// Of what other nodes have, or this one has of others.
  static func samples(_ cluster: ClusterFacts) -> [MetricSample] {
    func furthest(_ lag: (ClusterFacts.Replica) -> Int64?) -> Double {
      var sums: [Int32: Int64] = [:]
      for replica in cluster.replicas where !replica.isLeader { sums[replica.node, default: 0] += lag(replica) ?? 0 }
      return Double(sums.values.max() ?? 0)
    }
    let oldest = cluster.replicas.lazy.filter { !$0.isLeader }.compactMap(\.lagMilliseconds).max() ?? 0
    return [
      MetricSample("under_replicated_partitions", value: Double(cluster.underReplicatedCount)),
      MetricSample("offline_partitions", value: Double(cluster.offlineCount)),
      MetricSample("replica_lag_commits", value: furthest(\.lagCommits)),
      MetricSample("replica_lag_bytes", value: furthest(\.lagBytes)),
      MetricSample("replica_lag_seconds", value: Double(oldest) / 1000),
    ]
  }

  /// The second number of /proc/self/statm, in pages.
  private static func residentBytes() -> Int? {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    let numbers = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
    return numbers.count > 1 ? Int(numbers[1]).map { $0 * Int(sysconf(CInt(_SC_PAGESIZE))) } : nil
  }
}
