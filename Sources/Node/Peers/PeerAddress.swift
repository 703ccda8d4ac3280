public import Model

/// Where the nodes of a cluster fetch pages from each other.
public struct PeerAddress: Hashable, Sendable {
  /// Port 0 takes a free one.
  public var listen: HostPort
  /// What other nodes are told; nil for the listener's own. Port 0 stands for the listener's.
  public var advertised: HostPort?

  public init(listen: HostPort, advertised: HostPort? = nil) {
    self.listen = listen
    self.advertised = advertised
  }

  /// - Returns: nil where there is no listener.
  init?(_ settings: NodeSettings) throws(NodeStartError) {
    guard !settings.text("quire.peer.listeners").isEmpty else { return nil }
    listen = try NodeConfiguration.address("quire.peer.listeners", settings)
    if !settings.text("quire.peer.advertised").isEmpty {
      advertised = try NodeConfiguration.address("quire.peer.advertised", settings)
    }
  }

  /// What other nodes are told, given what was bound.
  func advertised(bound port: Int) -> HostPort {
    guard var advertised else { return HostPort(host: listen.host, port: port) }
    if advertised.port == 0 { advertised.port = port }
    return advertised
  }
}

extension NodeConfiguration {
  func checkPeers() throws(NodeStartError) {
    if let standbyOf {
      if etcd != nil { throw NodeStartError(.configuration, "a node of a cluster in etcd has no standby (--standby-of)") }
      if !standbyOf.isLoopback, peerSecretFile == nil {
        throw NodeStartError(
          .configuration,
          "the leader at \(standbyOf) is on another machine: that needs a shared secret in a file (quire.peer.secret.file)")
      }
    }
    guard let peer else { return }
    if !peer.listen.isLoopback, peerSecretFile == nil {
      throw NodeStartError(
        .configuration,
        "peers on \(peer.listen) connect from other machines: that needs a shared secret in a file (quire.peer.secret.file)")
    }
    if peer.listen.isWildcard, peer.advertised == nil {
      throw NodeStartError(
        .configuration, "peers on \(peer.listen): say with quire.peer.advertised where other nodes connect")
    }
    if let advertised = peer.advertised, advertised.isWildcard {
      throw NodeStartError(.configuration, "quire.peer.advertised: no node can connect to \(advertised)")
    }
  }
}
