/// A command failed: one line for standard error, and exit code 1.
struct CommandFailure: Error {
  var message: String
  /// The byte of an SQL text that is meant, where one is.
  var position: Int?

  init(_ message: String, position: Int? = nil) {
    self.message = message
    self.position = position
  }
}

/// A command did its work and found something wrong, which it has said already: exit code 1 without another word.
struct FailureAlreadyTold: Error {}
