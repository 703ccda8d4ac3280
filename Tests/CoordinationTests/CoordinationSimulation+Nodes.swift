import Coordination
import Model

extension CoordinationSimulation {
  static func partition(_ number: Int) -> TopicPartition { TopicPartition(topic: "t", partition: Int32(number)) }

  // MARK: A shard's thread

  mutating func arrive(_ id: Int) {
    let request = requests[id]
    let connection = connections[request.connection]
    guard connection.isOpen, nodes[connection.node].isUp, nodes[connection.node].life == connection.life else { return }
    let node = connection.node
    requests[id].arrival = (node, connection.life)
    let event = event(of: id)
    if !nodes[node].leads {
      event.refuse(.notCoordinator)
    } else if nodes[node].table == nil {
      event.refuse(.coordinatorLoadInProgress)
    } else {
      nodes[node].queue.append(event)
      workSoon(node)
    }
    deliver()
  }

  private mutating func workSoon(_ node: Int) {
    guard !nodes[node].isWorking else { return }
    nodes[node].isWorking = true
    schedule(isCalm ? 0 : some(0...3), .work(node: node, life: nodes[node].life))
  }

  private func event(of id: Int) -> CoordinatorEvent {
    let (request, mailbox) = (requests[id], mailbox)
    let client = clients[request.client]
    let identity = MemberIdentity(memberID: request.memberID, instanceID: client.instance)
    let asked: GroupRequest
    switch request.kind {
    case .fetch:
      let name = client.isSimple ? "h" : "g"
      return .read(groupID: name) { found in
        mailbox.put(
          .offsets(
            found.map { groups in
              let offsets = groups[name]?.offsets ?? [:]
              return Dictionary(uniqueKeysWithValues: offsets.map { (Int($0.key.partition), $0.value.offset) })
            }), to: id)
      }
    case .join:
      asked = .join(
        JoinRequest(
          member: identity, clientID: "c", clientHost: "h", sessionTimeoutMilliseconds: Self.session,
          rebalanceTimeoutMilliseconds: Self.rebalance, protocolType: "consumer",
          protocols: [GroupProtocol(name: "range", metadata: [UInt8(request.client)])], newMemberID: "m\(id)",
          requiresKnownMemberID: client.instance == nil && request.client != 0, supportsSkippingAssignment: true))
    case .sync:
      let shares = shares[id] ?? []
      asked = .sync(
        SyncRequest(
          member: identity, generationID: request.generation, assignments: Dictionary(uniqueKeysWithValues: shares)))
    case .heartbeat: asked = .heartbeat(identity, generationID: request.generation)
    case .leave: asked = .leave([identity])
    case .commit(let offsets):
      var (member, generation) = client.isSimple ? (MemberIdentity(memberID: ""), -1) : (identity, request.generation)
      if mutation == .ignoresGenerations, !client.isSimple, let node = request.arrival?.node,
        let known = nodes[node].table?.machines["g"], let somebody = known.leaderID
      {
        (member, generation) = (
          known.description.members.first { $0.identity.memberID == somebody }!.identity, known.generationID
        )
      }
      asked = .commit(
        CommitRequest(
          member: member, generationID: generation,
          offsets: offsets.sorted { $0.key < $1.key }.map {
            OffsetToCommit(partition: Self.partition($0.key), offset: $0.value, metadata: "\(id)")
          }))
    }
    return .request(groupID: client.isSimple ? "h" : "g", asked) { mailbox.put(.group($0), to: id) }
  }

  mutating func work(_ node: Int) {
    nodes[node].isWorking = false
    let events = nodes[node].queue
    nodes[node].queue = []
    guard nodes[node].table != nil else { return }
    settle(node, events)
  }

  mutating func wake(_ node: Int) {
    nodes[node].wakeAt = .max
    if nodes[node].table != nil { settle(node, []) }
  }

  private mutating func settle(_ node: Int, _ events: [CoordinatorEvent]) {
    let before = nodes[node].table?.machines["g"]?.generationID ?? 0
    let changes = nodes[node].table?.settle(events, now: now) ?? []
    deliver()
    let after = nodes[node].table?.machines["g"]?.generationID ?? 0
    if after < before { violate("the generation went from \(before) back to \(after) in the memory of node \(node)") }
    if after > before { generations += 1 }
    if !changes.isEmpty { apply(changes, on: node) }
    let wakeAt = max(nodes[node].table?.nextDeadline ?? .max, now + 1)
    guard wakeAt < .max, wakeAt != nodes[node].wakeAt else { return }
    nodes[node].wakeAt = wakeAt
    schedule(wakeAt - now, .wake(node: node, life: nodes[node].life, at: wakeAt))
  }

  private mutating func apply(_ changes: [GroupChanges], on node: Int) {
    lastNumber += 1
    let (number, life) = (lastNumber, nodes[node].life)
    nodes[node].pending = number
    if now < nodes[node].refusesUntil || !isCalm && chance(2) {
      let failure = UnappliedChanges(answer: .coordinatorNotAvailable, isOutcomeKnown: true, cause: Failure())
      note("node \(node) refuses \(number)")
      return schedule(some(0...5), .ended(node: node, life: life, number: number, failure))
    }
    note("node \(node) appends \(number): \(changes.map { "\($0.groupID) \($0.changes.count)" })")
    nodes[node].tail.append(Entry(number: number, epoch: nodes[node].heardEpoch, changes: changes))
    let delay = now < nodes[node].stallsUntil ? some(300...2_000) : isCalm ? 2 : some(1...30)
    schedule(delay, .replicated(node: node, life: life, number: number))
    if mutation == .answersBeforeDurable { return schedule(0, .ended(node: node, life: life, number: number, nil)) }
    let late = UnappliedChanges(answer: .coordinatorNotAvailable, isOutcomeKnown: false, cause: Failure())
    schedule(600, .ended(node: node, life: life, number: number, late))
  }

  mutating func replicated(_ node: Int, _ life: Int, _ number: Int) {
    guard nodes[node].life == life, let index = nodes[node].tail.firstIndex(where: { $0.number == number }) else { return }
    // A leader that was deposed replicates nothing any more.
    guard leader == node, nodes[node].tail[index].epoch == epoch else { return }
    replicate(Array(nodes[node].tail[...index]))
    nodes[node].tail.removeSubrange(...index)
    if nodes[node].pending == number { ended(node, nil) }
  }

  mutating func ended(_ node: Int, _ failure: UnappliedChanges?) {
    var failure = failure
    if mutation == .keepsWhatIsUnknown { failure?.isOutcomeKnown = true }
    nodes[node].pending = nil
    nodes[node].table?.ended(failure, now: now)
    deliver()
    guard let failure else {
      compare(node)
      return settle(node, [])
    }
    refusals += 1
    if failure.isOutcomeKnown { return settle(node, []) }
    note("node \(node) reads its groups again")
    nodes[node].table = nil
    refuseQueue(node, .coordinatorNotAvailable)
    schedule(5, .load(node: node, life: nodes[node].life, epoch: nodes[node].heardEpoch))
  }

  private mutating func refuseQueue(_ node: Int, _ error: ErrorCode) {
    let events = nodes[node].queue
    nodes[node].queue = []
    for event in events { event.refuse(error) }
    deliver()
  }

  mutating func load(_ node: Int, _ life: Int, _ epoch: Int) {
    guard nodes[node].life == life, nodes[node].leads, nodes[node].heardEpoch == epoch, nodes[node].table == nil else { return }
    let isReplicated = leader == node && self.epoch == epoch && nodes[node].tail.isEmpty
    guard isReplicated || mutation == .loadsUnreplicated else {
      return schedule(20, .load(node: node, life: life, epoch: epoch))
    }
    var groups = stored
    for entry in nodes[node].tail { Self.fold(entry.changes, into: &groups) }
    note("node \(node) has read its groups in epoch \(epoch)")
    reloads += 1
    nodes[node].table = GroupTable(
      groups.sorted { $0.key < $1.key }.map(\.value), configuration: configuration, now: now, partitionExists: { _ in true })
    settle(node, [])
  }

  static func fold(_ changes: [GroupChanges], into groups: inout [String: StoredGroup]) {
    for group in changes {
      var known = groups[group.groupID] ?? StoredGroup(groupID: group.groupID, snapshot: nil, offsets: [:])
      for change in group.changes {
        switch change {
        case .groupPut(let snapshot): known.snapshot = snapshot
        case .groupDeleted: known = StoredGroup(groupID: group.groupID, snapshot: nil, offsets: [:])
        case .offsetCommitted(let partition, let committed): known.offsets[partition] = committed
        case .offsetDeleted(let partition): known.offsets[partition] = nil
        }
      }
      groups[group.groupID] = known.snapshot == nil && known.offsets.isEmpty ? nil : known
    }
  }

  // MARK: Who leads

  mutating func elect() {
    let candidates = nodes.indices.filter { nodes[$0].isUp }
    guard let next = candidates.randomElement(using: &random) else { return schedule(100, .elect) }
    // It is in sync, which it is as a follower: it has heard who led until now.
    if next != leader { hear(next, leader, epoch) }
    let tail = nodes[leader].tail.filter { $0.epoch == epoch }
    // The next one may have got some of it before; what the leader itself has stays, where it leads on.
    let kept = next == leader ? tail.count : Int.random(in: 0...tail.count, using: &random)
    let newEpoch = epoch + 1
    note("node \(next) is elected in epoch \(newEpoch), with \(kept) of \(tail.count)")
    nodes[leader].tail = []
    nodes[next].tail = []
    (leader, epoch) = (next, newEpoch)
    replicate(Array(tail[..<kept]))
    for node in nodes.indices where nodes[node].isUp {
      schedule(isCalm ? 5 : chance(30) ? some(1...2_000) : some(1...50), .hear(node: node, leader: leader, epoch: epoch))
    }
  }

  mutating func hear(_ node: Int, _ leader: Int, _ epoch: Int) {
    guard nodes[node].isUp, nodes[node].heardEpoch < epoch else { return }
    let leadsOn = nodes[node].leads && nodes[node].heardEpoch == epoch - 1
    if nodes[node].leads { release(node) }
    nodes[node].heardEpoch = epoch
    nodes[node].leads = leader == node
    // What it appended before it heard of this: part of its log if nobody led in between, else undone.
    if !leadsOn { nodes[node].tail = [] }
    guard leader == node else { return }
    let life = nodes[node].life
    for index in nodes[node].tail.indices {
      nodes[node].tail[index].epoch = epoch
      schedule(some(1...30), .replicated(node: node, life: life, number: nodes[node].tail[index].number))
    }
    schedule(isCalm ? 1 : some(1...60), .load(node: node, life: life, epoch: epoch))
  }

  private mutating func release(_ node: Int) {
    note("node \(node) leads no more")
    nodes[node].leads = false
    if mutation == .forgetsWhoWaits {
      nodes[node].queue = []
    } else {
      refuseQueue(node, .notCoordinator)
      if nodes[node].pending != nil {
        nodes[node].table?.ended(
          UnappliedChanges(answer: .notCoordinator, isOutcomeKnown: false, cause: Failure()), now: now)
      }
      nodes[node].table?.refuseAll(.notCoordinator)
    }
    nodes[node].pending = nil
    nodes[node].table = nil
    deliver()
  }

  // MARK: Faults

  mutating func kill(_ node: Int) {
    note("node \(node) is killed")
    let life = nodes[node].life + 1
    let tail = nodes[node].tail
    let heard = nodes[node].heardEpoch
    nodes[node] = Node(isUp: false, life: life, heardEpoch: heard)
    // What was not synced is gone.
    nodes[node].tail = Array(tail[..<Int.random(in: 0...tail.count, using: &random)])
    for connection in connections.indices where connections[connection].node == node { connections[connection].isOpen = false }
    schedule(some(50...1_500), .restartNode(node))
    if leader == node { schedule(some(20...400), .elect) }
  }

  mutating func restart(_ node: Int) {
    guard !nodes[node].isUp else { return }
    nodes[node].isUp = true
    // It does not go on with an epoch that it led.
    if leader == node { elect() } else { schedule(some(1...50), .hear(node: node, leader: leader, epoch: epoch)) }
  }

  mutating func fault() {
    guard !isCalm else { return }
    let node = Int.random(in: 0..<nodes.count, using: &random)
    let client = Int.random(in: 0..<clients.count, using: &random)
    switch Int.random(in: 0..<100, using: &random) {
    case ..<15: elect()
    case ..<25: if nodes[node].isUp { kill(node) }
    case ..<40: crash(client)
    case ..<50: clients[client].sleepsUntil = now + some(100...1_500)
    case ..<60: nodes[node].refusesUntil = now + some(50...600)
    case ..<75: nodes[node].stallsUntil = now + some(50...1_200)
    default: if let connection = clients[client].connection { connections[connection].isOpen = false }
    }
    schedule(some(50...500), .fault)
  }
}
