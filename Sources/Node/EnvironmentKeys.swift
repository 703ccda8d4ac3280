import Model

/// Settings in environment variables: `QUIRE_` and the key in capitals, `_` for dots, without a leading `quire.`.
enum EnvironmentKeys {
  /// Read by the client commands, not by a node.
  private static let ofClients: Set<String> = ["QUIRE_BOOTSTRAP", "QUIRE_SERVER"]

  static func variable(for key: String) -> String {
    let bare = key.hasPrefix("quire.") ? String(key.dropFirst("quire.".count)) : key
    return "QUIRE_" + bare.uppercased().split(separator: ".").joined(separator: "_")
  }

  /// The settings in order of their names, and a warning for each `QUIRE_…` variable that is none.
  ///
  /// An unknown variable is no error as an unknown key of the file is: others set variables too (Kubernetes gives each process
  /// `QUIRE_SERVICE_HOST` when a service is called quire), and nobody wrote them for this node.
  static func settings(
    in environment: [String: String]
  ) -> (settings: [(name: String, key: String, value: String)], warnings: [String]) {
    var keys: [String: String] = [:]
    for key in ConfigurationKey.nodeKeys {
      for spelling in [key.name] + key.aliases { keys[variable(for: spelling)] = key.name }
    }
    var settings: [(name: String, key: String, value: String)] = []
    var warnings: [String] = []
    for (name, value) in environment.sorted(by: { $0.key < $1.key }) where name.hasPrefix("QUIRE_") && !ofClients.contains(name)
    {
      if let key = keys[name] {
        settings.append((name, key, value))
      } else {
        warnings.append("the environment variable \(name) is no setting of a node")
      }
    }
    return (settings, warnings)
  }
}
