// Programs of `tools/bench` that measure the rooms themselves:
//   quire-bench append DIRECTORY PARTITIONS BATCH_BYTES TOTAL_BYTES     the append path in process; prints a line of JSON
//   quire-bench query DIRECTORY RECORDS PARTITIONS COMPRESSION [REPEATS]  SQL against a plain table; prints a line of JSON
//   quire-bench discard --data-dir DIR --listen HOST:PORT …             `quire serve` whose store forgets what it takes
import Glibc
import Records

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "append":
  let numbers = arguments.dropFirst(2).compactMap(Int.init)
  guard numbers.count == 3 else { stop("usage: quire-bench append DIRECTORY PARTITIONS BATCH_BYTES TOTAL_BYTES") }
  do {
    print(try AppendBench(directory: arguments[1], partitions: numbers[0], batchBytes: numbers[1]).run(totalBytes: numbers[2]))
  } catch { stop("\(error)") }
case "query":
  guard arguments.count >= 5, let records = Int(arguments[2]), let partitions = Int(arguments[3]),
    let compression = Compression.allCases.first(where: { $0.description == arguments[4] })
  else { stop("usage: quire-bench query DIRECTORY RECORDS PARTITIONS none|gzip|snappy|lz4|zstd [REPEATS [QUESTION]…]") }
  do {
    let bench = try QueryBench(directory: arguments[1], records: records, partitions: partitions, compression: compression)
    print(try bench.run(repeats: arguments.count > 5 ? Int(arguments[5]) ?? 3 : 3, only: Array(arguments.dropFirst(6))))
  } catch { stop("\(error)") }
case "discard":
  do { try await DiscardingNode.run(Array(arguments.dropFirst())) } catch { stop("\(error)") }
default:
  stop("usage: quire-bench append|query|discard …")
}

func stop(_ message: String) -> Never {
  let line = Array("quire-bench: \(message)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
  exit(1)
}
