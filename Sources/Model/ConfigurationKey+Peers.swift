extension ConfigurationKey {
  /// What concerns other nodes.
  static let peerKeys: [ConfigurationKey] = [
    ConfigurationKey(
      name: "quire.peer.listeners", aliases: ["peer"], type: .string(oneOf: nil), defaultValue: "",
      documentation: "HOST:PORT on which other nodes fetch this node's pages; empty for none. Port 0 takes a free one.",
      rule: { $0.isEmpty ? nil : HostPort.complaint(about: $0, allowsPortZero: true) }),
    ConfigurationKey(
      name: "quire.peer.advertised", type: .string(oneOf: nil), defaultValue: "",
      documentation: "HOST:PORT at which other nodes reach that listener; empty for its own. Port 0 stands for its port.",
      rule: { $0.isEmpty ? nil : HostPort.complaint(about: $0, allowsPortZero: true) }),
    ConfigurationKey(
      name: "quire.peer.secret.file", type: .string(oneOf: nil), defaultValue: "",
      documentation:
        "File with the secret that nodes share, at least 16 bytes, readable by nobody else. Nodes on different machines need one."
    ),
    ConfigurationKey(
      name: "quire.peer.catchup.bytes.per.second", type: .long(0...Int64.max), defaultValue: "0",
      documentation:
        "Bytes a second that each leader sends a node of files and whole segments, which catches up or gets a partition that is moved; 0 for all there is.",
      isDynamic: true),
    ConfigurationKey(
      name: "replica.lag.time.max.ms", type: .long(1...Int64.max), defaultValue: "30000",
      documentation:
        "A follower that has not had everything its leader has for so long leaves the in-sync replicas. Milliseconds."),
    ConfigurationKey(
      name: "quire.scrub.bytes.per.second", type: .long(0...Int64.max), defaultValue: "8388608",
      documentation:
        "Bytes a second that are read again in the background and compared with their hashes, to find damage before anybody needs them; 0 for none."
    ),
    ConfigurationKey(
      name: "quire.scrub.pause.ms", type: .long(100...31_536_000_000), defaultValue: "60000",
      documentation: "Milliseconds between having read everything again and beginning anew."),
    ConfigurationKey(
      name: "quire.standby.of", aliases: ["standby.of"], type: .string(oneOf: nil), defaultValue: "",
      documentation: "HOST:PORT of the peer listener of a node whose warm standby this one is; empty: it leads.",
      rule: { $0.isEmpty ? nil : HostPort.complaint(about: $0, allowsPortZero: false) }),
  ]
}
