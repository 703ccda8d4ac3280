public import Model

/// One operation of an IncrementalAlterConfigs request, with Kafka's numbers (KIP-339).
public enum SettingOperation: Int8, Sendable {
  case set = 0
  case delete = 1
  /// Adds the words of a list that are not there yet.
  case append = 2
  /// Removes words from a list.
  case subtract = 3
}

/// One setting to be changed.
public struct SettingChange: Hashable, Sendable {
  public var name: String
  public var operation: SettingOperation
  /// Nil only with `delete`, where it is not read.
  public var value: String?

  public init(name: String, operation: SettingOperation, value: String?) {
    self.name = name
    self.operation = operation
    self.value = value
  }
}

/// Why settings were refused: one sentence that names the key. Nothing was changed.
public struct SettingRejection: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  /// The request is malformed (the same key twice), rather than a value being wrong.
  public var isMalformed: Bool
}

/// Which table of keys a resource's settings come from.
public enum SettingScope: Sendable {
  case topic
  /// The keys of a node that may change while it runs.
  case node
}

extension SettingScope {
  /// The settings after replacing all of them, checked.
  public func replacing(with entries: [(name: String, value: String?)]) throws(SettingRejection) -> [String: String] {
    try applying(entries.map { SettingChange(name: $0.name, operation: .set, value: $0.value) }, to: [:]) { _ in "" }
  }

  /// The settings after `changes`, checked; a name may occur once.
  ///
  /// - Parameter inForce: the text in force of a key that has no setting of its own: what lists are appended to.
  public func applying(
    _ changes: [SettingChange], to settings: [String: String], inForce: (ConfigurationKey) -> String
  ) throws(SettingRejection) -> [String: String] {
    var result = settings
    var seen: Set<String> = []
    for change in changes {
      let key = try key(named: change.name)
      if !seen.insert(key.name).inserted {
        throw SettingRejection(description: "the configuration '\(change.name)' occurs more than once", isMalformed: true)
      }
      let text: String
      switch change.operation {
      case .delete:
        result[key.name] = nil
        continue
      case .set:
        guard let value = change.value else {
          throw SettingRejection(description: "the configuration '\(change.name)' has no value", isMalformed: true)
        }
        text = ConfigurationKey.normalized(value)
      case .append, .subtract:
        guard key.type.isList else {
          throw SettingRejection(
            description:
              "the configuration '\(change.name)' is not a list: nothing can be appended to it or subtracted from it",
            isMalformed: false)
        }
        let current = ConfigurationKey.listItems(result[key.name] ?? inForce(key))
        let words = ConfigurationKey.listItems(change.value ?? "")
        text =
          (change.operation == .append
          ? current + words.filter { !current.contains($0) } : current.filter { !words.contains($0) })
          .joined(separator: ",")
      }
      if let complaint = key.complaint(about: text) { throw SettingRejection(description: complaint, isMalformed: false) }
      result[key.name] = text
    }
    return result
  }

  private func key(named name: String) throws(SettingRejection) -> ConfigurationKey {
    switch self {
    case .topic:
      if let key = ConfigurationKey.topicKey(named: name) { return key }
      throw SettingRejection(
        description: ConfigurationKey.unknownName(name, among: ConfigurationKey.topicKeys, kind: "topic"), isMalformed: false)
    case .node:
      guard let key = ConfigurationKey.nodeKey(named: name) else {
        throw SettingRejection(
          description: ConfigurationKey.unknownName(name, among: ConfigurationKey.nodeKeys, kind: "node"), isMalformed: false)
      }
      if key.isDynamic { return key }
      throw SettingRejection(
        description: "the node configuration '\(name)' cannot be changed while the node runs", isMalformed: false)
    }
  }
}
