/// What stands behind the question mark of an address, as forms and URLSearchParams write it: `+` is a space.
enum QueryString {
  /// - Throws: a member that is there twice, or text that is not UTF-8.
  static func members(of text: String) throws(RequestRejection) -> [String: String] {
    var members: [String: String] = [:]
    for member in text.utf8.split(separator: UInt8(ascii: "&")) {
      let parts = member.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = decoded(parts[0]), let value = parts.count > 1 ? decoded(parts[1]) : "" else {
        throw RequestRejection(message: "the query string is not UTF-8")
      }
      guard members.updateValue(value, forKey: name) == nil else {
        throw RequestRejection(message: "the query string has '\(name)' twice")
      }
    }
    return members
  }

  private static func decoded(_ text: Substring.UTF8View) -> String? {
    var bytes: [UInt8] = []
    var rest = text[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "+") {
        bytes.append(0x20)
      } else if byte == UInt8(ascii: "%"), rest.count >= 2, let digits = String(rest.prefix(2)),
        let value = UInt8(digits, radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}
