internal import Glibc

/// `quire query` on a terminal: statements are typed, answers are read, until Ctrl-D.
enum Prompt {
  static func run(_ source: HistoryOptions.Source, _ question: Question) async throws {
    let running = RunningWork()
    let wake = try WakePipe()
    try await Interruption.handling { number in
      if number == SIGTERM {
        Interruption.note(number)
        running.end()
        wake.wake()
      } else if !running.cancel() {
        wake.wake()
      }
    } while: {
      try await RunningWork.onThread("prompt") {
        try talk(Dialogue(source, question, running: running, isPaged: true), wake)
      }
    }
  }

  private static func talk(_ dialogue: Dialogue, _ wake: WakePipe) throws {
    var splitter = StatementSplitter()
    var history = PromptHistory(path: PromptHistory.defaultPath)
    let completer = Completer(dialogue.tables)
    /// Of the statement that is being typed.
    var typed: [String] = []
    let editor = LineEditor(historyMax: PromptHistory.entriesMax, wake: wake) { line, cursor in
      completer.complete((typed + [line]).joined(separator: "\n"), line: line, cursor: cursor)
    }
    for entry in history.entries { editor.remember(entry) }
    say("Quire \(Quire.version), \(dialogue.source.described). Statements end with a semicolon; .help tells more.")
    while !dialogue.running.isOver {
      let prompt = splitter.isWithin ? "    \(splitter.openQuote.map(String.init) ?? ".")> " : "quire> "
      switch editor.read(prompt: prompt) {
      case .end: return
      case .interrupted:
        splitter.reset()
        typed = []
      case .text(let line):
        let wasQuoted = splitter.openQuote != nil
        do {
          defer {
            // A line within quotes is not to be joined with others: its end means something.
            typed.append(line)
            if wasQuoted || splitter.openQuote != nil || typed.contains(where: { $0.contains("--") }) {
              for line in typed { remember(line, editor, &history) }
              typed = []
            } else if !splitter.isWithin {
              remember(typed.joined(separator: " "), editor, &history)
              typed = []
            }
          }
          try dialogue.take(Array(line.utf8), into: &splitter)
        } catch is Dialogue.Quit {
          return
        } catch is CancellationError {
          splitter.reset()
          say("cancelled")
        } catch let failure as Dialogue.Failure {
          splitter.reset()
          say(failure.explained)
        } catch let failure as CommandFailure {
          splitter.reset()
          say("error: \(failure.message)")
        }
      }
    }
  }

  private static func remember(_ entry: String, _ editor: LineEditor, _ history: inout PromptHistory) {
    if entry.allSatisfy(\.isWhitespace) { return }
    editor.remember(entry)
    history.append(entry)
  }
}

extension HistoryOptions.Source {
  /// For people.
  var described: String {
    switch self {
    case .server(let server): "node at http://\(server.authority)\(server.path)"
    case .directory(let path): "data directory \(path)"
    }
  }
}
