/// Where a value came from, with Kafka's numbers in DescribeConfigs (KIP-226).
public enum ConfigurationSource: Int8, Sendable {
  case topic = 1
  /// Set for one node while it ran.
  case dynamicNode = 2
  /// Set for every node while it ran.
  case dynamicDefault = 3
  /// Flag, environment or file at the node's start.
  case fixed = 4
  case builtIn = 5
}

/// One value of a key, with the name it has where it was set.
public struct ConfiguredValue: Hashable, Sendable {
  public var name: String
  public var value: String
  public var source: ConfigurationSource

  public init(name: String, value: String, source: ConfigurationSource) {
    self.name = name
    self.value = value
    self.source = source
  }
}

/// The settings of a node, in layers; every dictionary is keyed by canonical name.
public struct NodeSettings: Hashable, Sendable {
  /// From flags, environment and file.
  public var fixed: [String: String]
  /// Changed at run time for every node.
  public var dynamicDefault: [String: String]
  /// Changed at run time for this node.
  public var dynamicNode: [String: String]

  public init(fixed: [String: String] = [:], dynamicDefault: [String: String] = [:], dynamicNode: [String: String] = [:]) {
    self.fixed = fixed
    self.dynamicDefault = dynamicDefault
    self.dynamicNode = dynamicNode
  }

  /// The values of a node key, the one in force first, the built-in default last.
  public func values(of key: ConfigurationKey) -> [ConfiguredValue] {
    var values: [ConfiguredValue] = []
    if let value = dynamicNode[key.name] { values.append(ConfiguredValue(name: key.name, value: value, source: .dynamicNode)) }
    if let value = dynamicDefault[key.name] {
      values.append(ConfiguredValue(name: key.name, value: value, source: .dynamicDefault))
    }
    if let value = fixed[key.name] { values.append(ConfiguredValue(name: key.name, value: value, source: .fixed)) }
    values.append(ConfiguredValue(name: key.name, value: key.defaultValue, source: .builtIn))
    return values
  }

  /// The values of a topic key for a topic with these settings of its own, the one in force first.
  public func values(of topicKey: ConfigurationKey, topicSettings: [String: String]) -> [ConfiguredValue] {
    var values: [ConfiguredValue] = []
    if let value = topicSettings[topicKey.name] {
      values.append(ConfiguredValue(name: topicKey.name, value: value, source: .topic))
    }
    guard let name = topicKey.nodeKey, let nodeKey = ConfigurationKey.nodeKey(named: name) else {
      return values + [ConfiguredValue(name: topicKey.name, value: topicKey.defaultValue, source: .builtIn)]
    }
    return values + self.values(of: nodeKey)
  }

  /// The text in force of a node key.
  ///
  /// - Precondition: `name` is the canonical name of a node key.
  public func text(_ name: String) -> String {
    guard let key = ConfigurationKey.nodeKey(named: name) else { preconditionFailure("no node configuration \(name)") }
    return dynamicNode[name] ?? dynamicDefault[name] ?? fixed[name] ?? key.defaultValue
  }

  /// The number in force of a node key; its text passed the key's rule when it was set.
  public func number(_ name: String) -> Int64 {
    guard let number = Int64(ConfigurationKey.trimmed(text(name))) else {
      preconditionFailure("the node configuration \(name) is not a number")
    }
    return number
  }

  public func flag(_ name: String) -> Bool { ConfigurationKey.trimmed(text(name)).lowercased() == "true" }

  /// The configuration in force for a topic with these settings of its own.
  public func topicConfiguration(_ topicSettings: [String: String]) -> TopicConfiguration {
    TopicConfiguration.resolve { key in
      topicSettings[key.name] ?? key.nodeKey.map { text($0) } ?? key.defaultValue
    }
  }
}
