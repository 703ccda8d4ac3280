import Cluster
import Gateway
import Glibc
import Metadata

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
