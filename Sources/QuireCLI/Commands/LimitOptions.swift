internal import ArgumentParser

/// Bounds on one statement. A node has its own, and takes the smaller one.
struct LimitOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Longest time a statement may take: 500ms, 30s, 5m.", valueName: "time"))
  var limitTime: String?

  @Option(help: ArgumentHelp("Most bytes that an answer may have: 1000, 64KiB, 10MiB, 1GiB.", valueName: "bytes"))
  var limitOutput: String?

  @Option(help: ArgumentHelp("Most bytes of temporary disk for sorts and the like.", valueName: "bytes"))
  var limitDisk: String?

  @Option(help: ArgumentHelp("Most bytes of memory.", valueName: "bytes"))
  var limitMemory: String?

  func validate() throws { _ = try limits }

  var limits: QuestionLimits {
    get throws {
      QuestionLimits(
        timeMilliseconds: try Self.number(limitTime, "--limit-time", ["ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000]),
        outputBytes: try Self.number(limitOutput, "--limit-output", Self.sizes),
        temporaryBytes: try Self.number(limitDisk, "--limit-disk", Self.sizes),
        memoryBytes: try Self.number(limitMemory, "--limit-memory", Self.sizes))
    }
  }

  private static let sizes = ["": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30]

  private static func number(_ text: String?, _ option: String, _ units: [String: Int]) throws -> Int? {
    guard let text else { return nil }
    let digits = text.prefix { ("0"..."9").contains($0) }
    guard let number = Int(digits), number > 0, let unit = units[String(text.dropFirst(digits.count))],
      case let (product, overflow) = number.multipliedReportingOverflow(by: unit), !overflow
    else {
      let example = units["ms"] == nil ? "1000, 64KiB, 10MiB" : "500ms, 30s, 5m"
      throw ValidationError("'\(text)' is not what \(option) takes (\(example))")
    }
    return product
  }
}
