extension ConfigurationKey {
  /// Where a node of several finds the others, and where it is itself.
  static let memberKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "broker.rack", type: .string(oneOf: nil), defaultValue: "",
      documentation: "The rack, or the zone, this node is in: replicas of a partition are spread over racks."),
    ConfigurationKey(
      name: "replica.selector.class", type: .string(oneOf: ["", rackAwareSelector]), defaultValue: "",
      documentation:
        "`\(rackAwareSelector)` sends consumers that say their rack (`client.rack`) to an in-sync replica there; empty: they read from leaders."
    ),
    ConfigurationKey(
      name: "quire.etcd", aliases: ["etcd"], type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "URLs of the etcd in which nodes share what the cluster is, separated by commas (`http://HOST:PORT`); empty: this node is alone.",
      rule: { text in
        for url in listItems(text) where endpoint(url) == nil { return "'\(url)' is not http://HOST:PORT or https://HOST:PORT" }
        return nil
      }),
    ConfigurationKey(
      name: "quire.etcd.prefix", type: .string(oneOf: nil), defaultValue: "/quire/",
      documentation:
        "What the cluster's keys in etcd begin with, ending with a slash: clusters with different ones share an etcd.",
      rule: { $0.hasSuffix("/") && $0.hasPrefix("/") ? nil : "it must begin and end with a slash" }),
    ConfigurationKey(
      name: "quire.etcd.credentials.file", type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "Path of a file, for its owner only (mode 0600), with one line NAME:PASSWORD of an etcd user; empty: etcd asks for none."
    ),
  ]

  /// Kafka's name for it.
  public static let rackAwareSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

  /// Where an URL of etcd leads; nil if it is none.
  private static func endpoint(_ url: String) -> HostPort? {
    for scheme in ["http://", "https://"] where url.hasPrefix(scheme) {
      var rest = url.dropFirst(scheme.count)
      if rest.hasSuffix("/") { rest = rest.dropLast() }
      return HostPort(String(rest))
    }
    return nil
  }
}
