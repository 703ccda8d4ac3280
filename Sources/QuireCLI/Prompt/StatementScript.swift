internal import Glibc

/// Statements from standard input or a file, one after the other, up to the first that fails.
enum StatementScript {
  static func run(_ source: HistoryOptions.Source, _ question: Question) async throws {
    let running = RunningWork()
    let wake = try WakePipe()
    try await Interruption.cancelling {
      try await withTaskCancellationHandler {
        try await RunningWork.onThread("statements") {
          let dialogue = Dialogue(source, question, running: running, isPaged: false)
          do {
            try run(PlainLines(STDIN_FILENO, wake: wake.readEnd), dialogue)
          } catch is Dialogue.Quit {
          } catch let failure as Dialogue.Failure {
            throw CommandFailure((failure.line.map { "line \($0): " } ?? "") + failure.message)
          }
        }
      } onCancel: {
        running.end()
        wake.wake()
      }
    }
  }

  /// - Throws: what the first statement that fails throws; those before it were run.
  static func run(_ lines: PlainLines, _ dialogue: Dialogue) throws {
    var splitter = StatementSplitter()
    var number = 0
    while true {
      if dialogue.running.isOver { throw CancellationError() }
      switch try lines.next() {
      case .bytes(let line):
        number += 1
        guard String(validating: line, as: UTF8.self) != nil else {
          throw Dialogue.Failure(message: "the statements are not UTF-8", line: number)
        }
        do { try dialogue.take(line, into: &splitter) } catch var failure as Dialogue.Failure {
          failure.line = failure.line ?? number
          throw failure
        }
      case .interrupted: throw CancellationError()
      case .end:
        // The last one needs no semicolon.
        if let statement = splitter.finish() { try dialogue.run(statement) }
        return
      }
    }
  }
}
