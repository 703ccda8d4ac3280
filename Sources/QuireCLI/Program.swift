internal import ArgumentParser
internal import Export
internal import KafkaClient
internal import Query
internal import Storage

/// Runs one command line to its exit code: 0, 1 (it failed), 2 (usage), 130 (Ctrl-C).
enum Program {
  static func run(_ arguments: [String]) async -> CInt {
    do {
      var command = try Quire.parseAsRoot(arguments)
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      return Interruption.exitCode ?? 0
    } catch {
      return report(error)
    }
  }

  private static func report(_ error: any Error) -> CInt {
    if error is OutputClosed { return 0 }
    if let code = Interruption.exitCode { return code }
    switch error {
    case is FailureAlreadyTold: return 1
    case ExportError.outputClosed: return 0
    case let failure as ExportError: return fail(failure.description)
    case let failure as ImportError: return fail(failure.description)
    case let failure as CommandFailure: return fail(failure.message)
    case let failure as KafkaClientError:
      if failure.code == .invalidAddress { return misuse(failure.message) }
      return fail(failure.message)
    case let failure as QueryError: return fail(failure.message)
    case let failure as StorageError: return fail("\(failure)")
    default: break
    }
    let code = Quire.exitCode(for: error)
    if code == .success {
      let output = OutputStream.standardOutput()
      do {
        try output.line(Quire.fullMessage(for: error))
        try output.flush()
      } catch { return error is OutputClosed ? 0 : 1 }
      return 0
    }
    if code == .validationFailure { return misuse(Quire.message(for: error)) }
    return fail("\(error)")
  }

  private static func fail(_ message: String) -> CInt {
    say("quire: \(oneLine(message))")
    return 1
  }

  private static func misuse(_ message: String) -> CInt {
    say("quire: \(oneLine(message)) (see `quire --help`)")
    return 2
  }

  private static func oneLine(_ message: String) -> String {
    message.split(whereSeparator: \.isNewline).map { $0.trimming() }.joined(separator: " ")
  }
}

extension Substring {
  fileprivate func trimming() -> String {
    var text = self
    while text.first == " " { text.removeFirst() }
    while text.last == " " { text.removeLast() }
    return String(text)
  }
}
