internal import Cluster
internal import Glibc
internal import KafkaProtocol
internal import Metadata
internal import Model
internal import Storage

/// DescribeLogDirs, versions 1 to 4: the one directory of this node, bytes of its partitions and of its disk (KIP-113, KIP-827).
extension AdminContext {
  func handle(_ request: DescribeLogDirsRequest, version: Int16) async -> DescribeLogDirsResponse {
    let image = cluster.image
    let store = store
    let directory = dataDirectory
    return await onReadThread {
      var result = DescribeLogDirsResponse.Result()
      result.logDir = directory
      var disk = statvfs()
      if statvfs(directory, &disk) == 0 {
        result.totalBytes = Int64(clamping: UInt64(disk.f_blocks) * UInt64(disk.f_frsize))
        result.usableBytes = Int64(clamping: UInt64(disk.f_bavail) * UInt64(disk.f_frsize))
      }
      let asked: [(name: String, partitions: [Int32])] =
        request.topics?.map { ($0.topic, $0.partitions) }
        ?? image.clientTopics.sorted { $0.name < $1.name }.map { ($0.name, Array(0..<Int32($0.partitions.count))) }
      for topic in asked {
        var row = DescribeLogDirsResponse.Topic()
        row.name = topic.name
        row.partitions = topic.partitions.compactMap { number -> DescribeLogDirsResponse.Partition? in
          guard let log = store.partition(TopicPartition(topic: topic.name, partition: number)) else { return nil }
          var partition = DescribeLogDirsResponse.Partition()
          partition.partitionIndex = number
          partition.partitionSize = (try? log.sizeInBytes()) ?? 0
          if let offsets = log.offsets { partition.offsetLag = offsets.logEndOffset - offsets.highWatermark }
          return partition
        }
        if !row.partitions.isEmpty { result.topics.append(row) }
      }
      var response = DescribeLogDirsResponse()
      response.results = [result]
      return response
    }
  }
}
