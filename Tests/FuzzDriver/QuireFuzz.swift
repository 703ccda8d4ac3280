internal import CFuzz
internal import FuzzTargets
internal import Glibc

/// The fuzzer: `quire-fuzz TARGET [options and corpora of libFuzzer]`; see tools/fuzz.
@main
enum QuireFuzz {
  // Safe because: written once, before libFuzzer runs, which calls back on this thread only.
  nonisolated(unsafe) private static var target: FuzzTarget?

  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count > 1, let kind = FuzzTarget.Kind(rawValue: arguments[1]) else {
      print("targets: " + FuzzTarget.Kind.allCases.map(\.rawValue).joined(separator: " "))
      exit(2)
    }
    target = FuzzTarget(kind)
    let rest = [arguments[0]] + arguments.dropFirst(2)
    var pointers: [UnsafeMutablePointer<CChar>?] = rest.map { strdup($0) } + [nil]
    var count = CInt(rest.count)
    pointers.withUnsafeMutableBufferPointer { buffer in
      var start = buffer.baseAddress
      _ = LLVMFuzzerRunDriver(&count, &start) { bytes, count in
        QuireFuzz.target?.run(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
      }
    }
  }
}
