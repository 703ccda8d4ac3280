/// The targets that Package.swift declares, read from its text: enough of Swift for the way it is written.
struct Manifest {
  struct Target {
    enum Kind { case room, executable, test, support, c }
    var name: String
    var kind: Kind
    /// Names of targets and products, which are those of their modules.
    var dependencies: Set<String>
    var path: String
  }

  private(set) var targets: [Target] = []
  private var products: [String: String] = [:]

  init(_ text: String) throws {
    let code = text.split(separator: "\n").filter { !$0.drop(while: { $0 == " " }).hasPrefix("//") }.joined(separator: "\n")
    for match in code.matches(of: /let (\w+): Target\.Dependency = \.product\(name: "([^"]+)"/) {
      products[String(match.1)] = String(match.2)
    }
    guard let start = code.firstRange(of: "targets: [\n")?.upperBound else { throw Unreadable(what: "no list of targets") }
    for match in code[start...].matches(of: /(^|[ ,\[])(room|tests|\.target|\.executableTarget|\.testTarget|\.systemLibrary)\(/)
    {
      let body = Self.parenthesised(code[match.range.upperBound...])
      guard let name = body.firstMatch(of: /"([^"]+)"/).map({ String($0.1) }) else { throw Unreadable(what: String(body)) }
      targets.append(target(String(match.2), name, body))
    }
  }

  struct Unreadable: Error { var what: String }

  private func target(_ function: String, _ name: String, _ body: Substring) -> Target {
    var dependencies = dependencies(in: body)
    let path = body.firstMatch(of: /path: "([^"]+)"/).map { String($0.1) }
    switch function {
    case "room": return Target(name: name, kind: .room, dependencies: dependencies, path: "Sources/\(name)")
    case ".executableTarget":
      return Target(name: name, kind: .executable, dependencies: dependencies, path: path ?? "Sources/\(name)")
    case "tests":
      dependencies.formUnion([name, "TestSupport"])
      return Target(name: "\(name)Tests", kind: .test, dependencies: dependencies, path: "Tests/\(name)Tests")
    case ".testTarget": return Target(name: name, kind: .test, dependencies: dependencies, path: "Tests/\(name)")
    default:
      return Target(
        name: name, kind: path == nil ? .c : .support, dependencies: dependencies, path: path ?? "Sources/\(name)")
    }
  }

  /// What stands in the first brackets.
  private func dependencies(in body: Substring) -> Set<String> {
    guard let open = body.firstIndex(of: "[") else { return [] }
    var list = String(body[body.index(after: open)...].prefix { $0 != "]" })
    var found: Set<String> = []
    for match in list.matches(of: /\.product\(name: "([^"]+)", package: "[^"]+"\)/) { found.insert(String(match.1)) }
    list.replace(/\.product\([^)]*\)/, with: "")
    for item in list.split(separator: ",") {
      let word = item.filter { !$0.isWhitespace }
      guard !word.isEmpty else { continue }
      if word.hasPrefix("\"") { found.insert(word.filter { $0 != "\"" }) } else { found.insert(products[word] ?? word) }
    }
    return found
  }

  /// The text up to the parenthesis that closes the one in front of it.
  private static func parenthesised(_ text: Substring) -> Substring {
    var depth = 1
    return text.prefix { character in
      if character == "(" { depth += 1 }
      if character == ")" { depth -= 1 }
      return depth > 0
    }
  }
}
