internal import CEdit
internal import Glibc

/// Lines that a person types: edited by libedit where that is installed, else as the terminal gives them. Used by one thread.
final class LineEditor {
  enum Line: Equatable {
    case text(String)
    case interrupted
    case end
  }

  /// What the Tab key asks for: the line and the cursor's byte in it. The answer is typed, or shown below.
  struct Completion {
    var typed = ""
    var shown: [String] = []
  }

  private let edit: OpaquePointer?
  private let output: OutputStream
  private let wake: WakePipe
  private let plain: PlainLines
  private let complete: (String, Int) -> Completion

  /// - Parameters:
  ///   - wake: interrupts a line that is being typed.
  ///   - complete: called by `read` with what was typed so far.
  init(historyMax: Int, wake: WakePipe, complete: @escaping (String, Int) -> Completion) {
    self.complete = complete
    self.wake = wake
    plain = PlainLines(STDIN_FILENO, wake: wake.readEnd)
    // Data goes to standard output, and a prompt is none.
    let isToError = isatty(STDOUT_FILENO) != 1
    output = OutputStream(descriptor: isToError ? STDERR_FILENO : STDOUT_FILENO)
    edit = cedit_open(isToError ? 1 : 0, wake.readEnd, CInt(historyMax))
    guard let edit else { return }
    cedit_on_tab(
      edit, { context in Unmanaged<LineEditor>.fromOpaque(context!).takeUnretainedValue().completeLine() },
      Unmanaged.passUnretained(self).toOpaque())
  }

  deinit {
    if let edit { cedit_close(edit) }
  }

  /// Whether lines can be edited and brought back.
  var isEditing: Bool { edit != nil }

  func remember(_ line: String) {
    if let edit { cedit_remember(edit, line) }
  }

  func read(prompt: String) -> Line {
    // An interruption that came while nobody was reading is none of the next line.
    wake.drain()
    guard let edit else { return readPlainly(prompt) }
    var outcome: CInt = 0
    if let line = cedit_read(edit, prompt, &outcome) { return .text(String(cString: line)) }
    return outcome == CInt(CEDIT_INTERRUPTED) ? .interrupted : .end
  }

  private func completeLine() {
    guard let edit else { return }
    var cursor = 0
    var count = 0
    guard let text = cedit_typed(edit, &cursor, &count) else { return }
    let bytes = UnsafeRawBufferPointer(start: text, count: count)
    let answer = complete(String(decoding: bytes, as: UTF8.self), cursor)
    if !answer.typed.isEmpty { cedit_insert(edit, answer.typed) }
    if !answer.shown.isEmpty { cedit_show(edit, Self.inColumns(answer.shown)) }
  }

  private static func inColumns(_ words: [String]) -> String {
    var (rows, columns): (CInt, CInt) = (0, 0)
    cedit_screen(STDIN_FILENO, &rows, &columns)
    let width = (words.map(\.count).max() ?? 0) + 2
    let perLine = max(1, Int(columns) / width)
    var text = ""
    for (index, word) in words.enumerated() {
      let isLast = (index + 1) % perLine == 0 || index == words.count - 1
      text += isLast ? word + "\n" : word + String(repeating: " ", count: width - word.count)
    }
    return text
  }

  private func readPlainly(_ prompt: String) -> Line {
    put(prompt)
    switch try? plain.next() {
    case .bytes(let bytes): return .text(String(decoding: bytes, as: UTF8.self))
    case .interrupted:
      plain.clear()
      put("\n")
      return .interrupted
    case .end, nil:
      put("\n")
      return .end
    }
  }

  private func put(_ text: String) {
    try? output.write(text)
    try? output.flush()
  }
}

/// The terminal that a person looks at.
enum Screen {
  /// Nil where standard output is none.
  static var size: (rows: Int, columns: Int)? {
    var (rows, columns): (CInt, CInt) = (0, 0)
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    cedit_screen(STDOUT_FILENO, &rows, &columns)
    return rows > 0 && columns > 0 ? (Int(rows), Int(columns)) : nil
  }
}
