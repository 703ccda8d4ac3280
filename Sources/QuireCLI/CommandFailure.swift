/// A command failed: one line for standard error, and exit code 1.
struct CommandFailure: Error {
  var message: String
  init(_ message: String) { self.message = message }
}

/// A command did its work and found something wrong, which it has said already: exit code 1 without another word.
struct FailureAlreadyTold: Error {}
