import Coordination
import Model

extension CoordinationSimulation {
  private func limit(_ kind: Kind) -> Int64 {
    switch kind {
    case .join, .sync: 2 * Int64(Self.rebalance) + 300
    default: 1_500
    }
  }

  mutating func tick(_ id: Int) {
    for request in [clients[id].waitsFor, clients[id].commits].compactMap(\.self)
    where now - requests[request].sentAt > limit(requests[request].kind) {
      let kind = requests[request].kind
      note("client \(id) gives up \(kind) \(request)")
      if isCalm, requests[request].sentAt > calmSince + 2_500 { violate("nobody answers \(kind) \(request)") }
      return disconnect(id)
    }
    guard clients[id].waitsFor == nil else { return }
    if clients[id].sleepsUntil > 0 {
      // It does not know yet for how long.
      clients[id].sleepsUntil = 0
      if clients[id].isMember { commit(id) }
    }
    guard clients[id].coordinator != nil else {
      // The one who led before may still be named.
      let former = !isCalm && chance(20) && epoch - 1 >= clients[id].seenEpoch
      let node = former ? Int.random(in: 0..<nodes.count, using: &random) : leader
      return schedule(
        isCalm ? 2 : some(1...20), .found(client: id, life: clients[id].life, node: node, epoch: former ? epoch - 1 : epoch))
    }
    if clients[id].isSimple { return step(simple: id) }
    if !clients[id].isMember { return send(.join, from: id) }
    guard clients[id].positions != nil else { return send(.fetch, from: id) }
    switch Int.random(in: 0..<100, using: &random) {
    // Who has nothing to commit says nothing: not in the calm, or its session ends before its end.
    case ..<45 where !isCalm || clients[id].positions?.isEmpty == false: commit(id)
    case ..<47 where !isCalm:
      send(.leave, from: id)
      clients[id].isMember = false
    case ..<49 where !isCalm: send(.join, from: id)
    case 49..<52: clients[id].positions = nil
    default: send(.heartbeat, from: id)
    }
  }

  private mutating func step(simple id: Int) {
    if clients[id].positions == nil || chance(20) { send(.fetch, from: id) } else { commit(id) }
  }

  private mutating func commit(_ id: Int) {
    guard clients[id].commits == nil, var positions = clients[id].positions, !positions.isEmpty else { return }
    for partition in positions.keys.sorted() { positions[partition]! += some(0...3) }
    clients[id].positions = positions
    send(.commit(positions), from: id)
  }

  mutating func found(_ id: Int, _ life: Int, _ node: Int, _ epoch: Int) {
    guard clients[id].isUp, clients[id].life == life, clients[id].coordinator == nil, epoch >= clients[id].seenEpoch else {
      return
    }
    clients[id].coordinator = node
    clients[id].seenEpoch = epoch
  }

  /// What has not arrived yet does not arrive any more.
  private mutating func disconnect(_ id: Int) {
    if let connection = clients[id].connection { connections[connection].isOpen = false }
    clients[id].connection = nil
    clients[id].coordinator = nil
    clients[id].waitsFor = nil
    clients[id].commits = nil
    clients[id].positions = nil
  }

  mutating func crash(_ id: Int) {
    guard clients[id].isUp else { return }
    note("client \(id) is killed")
    disconnect(id)
    clients[id] = Client(
      instance: clients[id].instance, isSimple: clients[id].isSimple, isUp: false, life: clients[id].life + 1)
    schedule(some(10...1_200), .restartClient(id))
  }

  private mutating func send(_ kind: Kind, from id: Int, shares: [(String, [UInt8])] = []) {
    guard let node = clients[id].coordinator else { return }
    if clients[id].connection.map({ !connections[$0].isOpen }) ?? true {
      // Perhaps it has not noticed that the connection broke.
      if clients[id].connection != nil { return disconnect(id) }
      guard nodes[node].isUp else { return disconnect(id) }
      clients[id].connection = connections.count
      connections.append(Connection(node: node, life: nodes[node].life))
    }
    guard let connection = clients[id].connection else { return }
    let request = requests.count
    requests.append(
      Request(
        client: id, clientLife: clients[id].life, connection: connection, kind: kind, sentAt: now,
        memberID: clients[id].memberID,
        generation: clients[id].generation, acknowledged: acknowledged))
    self.shares[request] = shares
    let client = clients[id]
    note("client \(id) '\(client.memberID)' of \(client.generation) sends \(kind) \(request) to node \(node)")
    connections[connection].open.append(request)
    if case .commit = kind { clients[id].commits = request } else { clients[id].waitsFor = request }
    // Whoever joins has nothing, and commits nothing, until it has its share.
    if case .join = kind { (clients[id].isMember, clients[id].share, clients[id].positions) = (false, [], nil) }
    // A connection that loses something is broken.
    if !isCalm, chance(1) { connections[connection].isOpen = false }
    let delay = isCalm ? 1 : chance(5) ? some(1...300) : some(0...5)
    connections[connection].lastArrival = max(connections[connection].lastArrival, now + delay)
    schedule(connections[connection].lastArrival - now, .arrive(request: request))
  }

  /// Sends replies on their way, each connection's in the order of its requests.
  mutating func deliver() {
    for (id, answer) in mailbox.take() {
      requests[id].answers += 1
      if requests[id].answers > 1 { violate("\(requests[id].kind) \(id) was answered twice") }
      check(answer, to: id)
      let connection = requests[id].connection
      connections[connection].answers[id] = answer
      while let first = connections[connection].open.first,
        let answer = connections[connection].answers.removeValue(forKey: first)
      {
        connections[connection].open.removeFirst()
        if !isCalm, chance(1) { connections[connection].isOpen = false }
        guard connections[connection].isOpen else { continue }
        let delay = isCalm ? 1 : chance(5) ? some(1...300) : some(0...5)
        connections[connection].lastDeparture = max(connections[connection].lastDeparture, now + delay)
        schedule(connections[connection].lastDeparture - now, .reply(request: first, answer))
      }
    }
  }

  // MARK: Replies

  mutating func hear(_ answer: Answer, to request: Int) {
    let asked = requests[request]
    let id = asked.client
    guard connections[asked.connection].isOpen, clients[id].isUp, clients[id].life == asked.clientLife,
      clients[id].connection == asked.connection
    else { return }
    if clients[id].waitsFor == request { clients[id].waitsFor = nil }
    if clients[id].commits == request { clients[id].commits = nil }
    switch answer {
    case .offsets(.failure(let error)): complain(id, error)
    case .offsets(.success(let offsets)):
      note("client \(id) reads \(offsets.sorted { $0.key < $1.key }.map { "\($0.key):\($0.value)" })")
      let wanted = clients[id].isSimple ? [100] : clients[id].share
      clients[id].positions = Dictionary(uniqueKeysWithValues: wanted.map { ($0, offsets[$0] ?? 0) })
    case .group(.join(let join)): hear(join, id, request)
    case .group(.sync(let sync)): hear(sync, id, asked)
    case .group(.heartbeat(let error)): if error != .none { complain(id, error) }
    case .group(.commit(let results)):
      if let error = results.first(where: { $0.error != .none })?.error { complain(id, error) }
    case .group: clients[id].memberID = ""
    }
  }

  private mutating func hear(_ join: JoinReply, _ id: Int, _ request: Int) {
    note("client \(id) joins: \(join.error) \(join.memberID) \(join.generationID)")
    if join.error == .memberIDRequired {
      clients[id].memberID = join.memberID
      return send(.join, from: id)
    }
    guard join.error == .none else { return complain(id, join.error) }
    clients[id].memberID = join.memberID
    clients[id].generation = join.generationID
    var shares: [(String, [UInt8])] = []
    if !join.members.isEmpty, !join.skipsAssignment {
      let names = join.members.map(\.identity.memberID).sorted()
      shares = names.enumerated().map { index, name in
        let mine = Self.partitions.filter { $0 % names.count == index }
        return (name, Array("\(join.generationID)|\(requests.count)|\(mine.map(String.init).joined(separator: ","))".utf8))
      }
    }
    send(.sync, from: id, shares: shares)
  }

  private mutating func hear(_ sync: SyncReply, _ id: Int, _ asked: Request) {
    guard sync.error == .none else { return complain(id, sync.error) }
    let parts = String(decoding: sync.assignment, as: UTF8.self).split(separator: "|", omittingEmptySubsequences: false)
    // A member that the leader did not know of has nothing.
    let share = parts.count == 3 ? parts[2].split(separator: ",").compactMap { Int($0) } : []
    clients[id].isMember = true
    clients[id].share = share
    clients[id].positions = nil
    note("client \(id) has \(share) in \(asked.generation)")
  }

  private mutating func complain(_ id: Int, _ error: ErrorCode) {
    note("client \(id) hears \(error)")
    switch error {
    case .notCoordinator, .coordinatorNotAvailable:
      let connection = clients[id].connection
      clients[id].coordinator = nil
      // Others of its requests may still be answered there.
      if clients[id].waitsFor == nil, clients[id].commits == nil {
        if let connection { connections[connection].isOpen = false }
        clients[id].connection = nil
      } else {
        disconnect(id)
      }
    case .coordinatorLoadInProgress: break
    case .unknownMemberID, .fencedInstanceID:
      (clients[id].memberID, clients[id].generation) = ("", -1)
      clients[id].isMember = false
    case .illegalGeneration, .rebalanceInProgress: clients[id].isMember = false
    default: violate("client \(id) hears \(error)")
    }
  }
}
