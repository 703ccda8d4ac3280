import Model
import Testing

@testable import Coordination

/// Three clients, one of them static, and everything they can do in every order: no sequence of a few events may break
/// what holds for a group.
@Suite("Every small world")
struct SmallWorldTests {
  @Test("from a group that does not exist, seven events", .timeLimit(.minutes(2)))
  func fromNothing() { explore(World(), depth: 7) }

  @Test("from a stable group of two, five events", .timeLimit(.minutes(2)))
  func fromStable() {
    var world = World()
    for event in [Event.join(0), .join(2), .time, .time, .sync(0), .sync(2)] { world.apply(event) }
    #expect(world.machine.state == .stable)
    explore(world, depth: 5)
  }

  @Test("from a generation that waits for its assignment, five events", .timeLimit(.minutes(2)))
  func fromCompleting() {
    var world = World()
    for event in [Event.join(1), .join(1), .join(2), .time, .time, .sync(2)] { world.apply(event) }
    #expect(world.machine.state == .completingRebalance)
    explore(world, depth: 5)
  }

  private func explore(_ world: World, depth: Int) {
    var path: [Event] = []
    var worlds = 0
    explore(world, depth, &path, &worlds)
    #expect(worlds > 5_000)
  }

  private func explore(_ world: World, _ depth: Int, _ path: inout [Event], _ worlds: inout Int) {
    worlds += 1
    if depth == 0 {
      var end = world
      end.everybodyFallsSilent()
      if let fault = end.fault { Issue.record("\(path), then silence: \(fault)") }
      return
    }
    for event in Event.all {
      var next = world
      guard next.apply(event) else { continue }
      path.append(event)
      if let fault = next.fault {
        Issue.record("\(path): \(fault)")
      } else {
        explore(next, depth - 1, &path, &worlds)
      }
      path.removeLast()
    }
  }
}

enum Event: CustomStringConvertible {
  /// A client joins, with what it knows; if it waits in a request, it has lost that connection.
  case join(Int)
  /// A client that is in a generation asks for its share, or brings the shares.
  case sync(Int)
  case leave(Int)
  /// A client restarts and knows nothing; the static one keeps its instance id.
  case crash(Int)
  /// The next deadline is reached.
  case time
  /// The broker restarts with what it has stored.
  case restart

  static let all: [Event] = (0..<3).flatMap { [.join($0), .sync($0), .leave($0)] } + [.crash(2), .time, .restart]

  var description: String {
    switch self {
    case .join(let client): "join \(client)"
    case .sync(let client): "sync \(client)"
    case .leave(let client): "leave \(client)"
    case .crash(let client): "crash \(client)"
    case .time: "time"
    case .restart: "restart"
    }
  }
}

private struct World {
  struct Client {
    var memberID = ""
    var generation: Int32 = -1
    /// The members it is to assign to, if it leads.
    var led: [String] = []
  }
  struct Request {
    var client: Int
    var generation: Int32
    var memberID: String
  }

  var machine: GroupMachine
  var now: Int64 = 0
  var clients = [Client](repeating: Client(), count: 3)
  var open: [RequestToken: Request] = [:]
  var answered: Set<RequestToken> = []
  var tokens: UInt64 = 0
  var births = 0
  var stored: GroupSnapshot?
  /// Who was told to lead which generation of which life of the broker.
  var leaders: [Int32: String] = [:]
  var fault: String?

  init() {
    var configuration = GroupConfiguration()
    configuration.groupSizeMax = 2
    machine = GroupMachine(groupID: "g", configuration: configuration)
  }

  /// - Returns: false if the event cannot happen here.
  @discardableResult
  mutating func apply(_ event: Event) -> Bool {
    let generation = machine.generationID
    switch event {
    case .join(let client):
      births += 1
      let token = token(client)
      let request = JoinRequest(
        member: MemberIdentity(memberID: clients[client].memberID, instanceID: client == 2 ? "i" : nil), clientID: "c",
        clientHost: "h", sessionTimeoutMilliseconds: 10_000, rebalanceTimeoutMilliseconds: 30_000,
        protocolType: "consumer", protocols: [GroupProtocol(name: "range", metadata: [UInt8(client)])],
        newMemberID: "m\(births)", requiresKnownMemberID: client == 1, supportsSkippingAssignment: true)
      perform(machine.join(request, token: token, now: now))
    case .sync(let client):
      guard clients[client].generation >= 0 else { return false }
      let token = token(client)
      let generation = clients[client].generation
      let shares = clients[client].led.map { ($0, Array("\(generation) \($0)".utf8)) }
      let request = SyncRequest(
        member: MemberIdentity(memberID: clients[client].memberID, instanceID: client == 2 ? "i" : nil),
        generationID: generation, assignments: Dictionary(uniqueKeysWithValues: shares))
      perform(machine.sync(request, token: token, now: now))
    case .leave(let client):
      guard !clients[client].memberID.isEmpty else { return false }
      let token = token(client)
      let identity = MemberIdentity(memberID: clients[client].memberID, instanceID: client == 2 ? "i" : nil)
      perform(machine.leave([identity], token: token, now: now))
      clients[client] = Client()
    case .crash(let client):
      guard !clients[client].memberID.isEmpty else { return false }
      clients[client] = Client()
    case .time:
      guard let deadline = machine.nextDeadline else { return false }
      now = max(now, deadline)
      perform(machine.expire(now: now))
    case .restart:
      // The connections go with the broker, and what waited on them.
      open = [:]
      leaders = [:]
      machine = GroupMachine(
        groupID: "g", configuration: machine.configuration, restoring: stored, offsets: [:], now: now)
    }
    if case .restart = event {
    } else if machine.generationID < generation, machine.state != .dead {
      fault = "the generation went back"
    }
    check()
    return true
  }

  mutating func everybodyFallsSilent() {
    var steps = 0
    while let deadline = machine.nextDeadline {
      now = max(now, deadline)
      perform(machine.expire(now: now))
      check()
      steps += 1
      if steps > 100 {
        fault = "deadlines without end"
        return
      }
    }
    if !open.isEmpty { fault = "\(open.count) requests were never answered" }
    if machine.state != .empty, machine.state != .dead { fault = "silent members are still in: \(machine.state)" }
  }

  private mutating func token(_ client: Int) -> RequestToken {
    tokens += 1
    open[RequestToken(tokens)] = Request(
      client: client, generation: clients[client].generation, memberID: clients[client].memberID)
    return RequestToken(tokens)
  }

  private mutating func perform(_ actions: [GroupAction]) {
    for action in actions {
      switch action {
      case .persist(.groupPut(let snapshot)): stored = snapshot
      case .persist(.groupDeleted): stored = nil
      case .persist: break
      case .reply(let token, let reply): answer(token, reply)
      }
    }
  }

  private mutating func answer(_ token: RequestToken, _ reply: GroupReply) {
    guard let request = open.removeValue(forKey: token) else {
      fault = answered.contains(token) ? "a request was answered twice" : "an unknown request was answered"
      return
    }
    answered.insert(token)
    switch reply {
    case .join(let join) where join.error == .none:
      clients[request.client].memberID = join.memberID
      clients[request.client].generation = join.generationID
      clients[request.client].led = join.skipsAssignment ? [] : join.members.map(\.identity.memberID)
      if machine.members[join.memberID] == nil { fault = "somebody who is not a member was let in" }
      if !join.members.isEmpty {
        if join.leaderID != join.memberID { fault = "a follower was told the members" }
        let others = leaders.updateValue(join.memberID, forKey: join.generationID)
        if !join.skipsAssignment, let others, others != join.memberID { fault = "two leaders of one generation" }
      }
    case .join(let join):
      clients[request.client].memberID =
        join.error == .memberIDRequired ? join.memberID : (join.error == .rebalanceInProgress ? request.memberID : "")
      clients[request.client].generation = -1
    case .sync(let sync) where sync.error == .none:
      let share = String(decoding: sync.assignment, as: UTF8.self)
      // A static member that replaced another has the share of its earlier id.
      let isOwn = share.isEmpty || share == "\(request.generation) \(request.memberID)"
      let isInherited = request.client == 2 && share.hasPrefix("\(request.generation) ")
      if !isOwn && !isInherited { fault = "\(request.memberID) of \(request.generation) got the share '\(share)'" }
    default: break
    }
  }

  private mutating func check() {
    let waiting = machine.members.values.flatMap { [$0.awaitingJoin, $0.awaitingSync].compactMap { $0 } }
    if machine.members.values.contains(where: { $0.awaitingJoin != nil && $0.awaitingSync != nil }) {
      fault = "a member waits in two requests"
    }
    if Set(waiting) != Set(open.keys) { fault = "requests were lost: \(open) but \(waiting)" }
    switch machine.state {
    case .dead:
      if machine.nextDeadline != nil || !waiting.isEmpty { fault = "a dead group has something to do" }
    case .empty:
      if !machine.members.isEmpty || machine.leaderID != nil { fault = "an empty group has members" }
    case .preparingRebalance:
      if machine.joinPhase == nil { fault = "a rebalance without end" }
    case .completingRebalance, .stable:
      if machine.leaderID.flatMap({ machine.members[$0] }) == nil { fault = "no leader in \(machine.state)" }
      if machine.members.values.contains(where: { $0.awaitingJoin != nil }) { fault = "a join waits for nothing" }
      if machine.members.count > 2 { fault = "more members than the maximum" }
    }
    if machine.state == .stable {
      if machine.snapshot().members != stored?.members || machine.generationID != stored?.generationID {
        fault = "a stable group is not what is stored"
      }
      if machine.members.values.contains(where: { $0.awaitingSync != nil }) { fault = "a sync waits in a stable group" }
    }
    let instances = machine.members.values.compactMap(\.identity.instanceID)
    if Set(instances).count != instances.count || Set(machine.staticMembers.keys) != Set(instances) {
      fault = "static members are confused"
    }
  }
}
