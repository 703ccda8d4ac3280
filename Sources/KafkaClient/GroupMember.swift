internal import Bytes
internal import KafkaProtocol
public import Model
internal import NIOCore

/// What proves to the coordinator that a commit comes from a member of the current generation.
public struct GroupMembership: Sendable {
  public var memberID: String
  public var generationID: Int32
}

/// Membership of a consumer group with the `range` assignor: join, heartbeats beside the reading, commit, leave.
///
///     assignment = join()
///     while !mustRejoin { read; commit }        then join() again; at the end leave()
public actor GroupMember {
  public struct Timeouts: Sendable {
    /// Without a heartbeat for this long the group goes on without us.
    public var session: Duration
    /// How long the group waits for its members to join again.
    public var rebalance: Duration
    public var heartbeatInterval: Duration

    public static let standard = Timeouts(session: .seconds(10), rebalance: .seconds(30), heartbeatInterval: .seconds(3))
  }

  public nonisolated let group: String
  private let client: KafkaClient
  private let topics: [String]
  private let timeouts: Timeouts

  private var memberID = ""
  private var generationID: Int32 = -1
  private var heartbeats: Task<Void, Never>?
  /// Whether the group is rebalancing or has gone on without us: commit, then `join` again.
  public private(set) var mustRejoin = false

  public init(client: KafkaClient, group: String, topics: [String], timeouts: Timeouts = .standard) {
    self.client = client
    self.group = group
    self.topics = topics
    self.timeouts = timeouts
  }

  /// Joins the group, or joins again, and waits for this member's partitions.
  public func join() async throws -> [TopicPartition] {
    heartbeats?.cancel()
    heartbeats = nil
    while true {
      try Task.checkCancellation()
      let joined = try await joinOnce()
      guard let joined else { continue }
      let assignments = joined.leader == joined.memberID ? try await assign(joined) : []
      if let partitions = try await sync(joined, assignments) {
        mustRejoin = false
        startHeartbeats()
        return partitions
      }
    }
  }

  /// One JoinGroup; nil if it is to be sent again.
  private func joinOnce() async throws -> JoinGroupResponse? {
    var subscription = ConsumerProtocolSubscription()
    subscription.topics = topics
    var offer = JoinGroupRequest.ProtocolMetadata()
    offer.name = RangeAssignor.protocolName
    offer.metadata = subscription.encoded(version: 0)
    var request = JoinGroupRequest()
    request.groupID = group
    request.memberID = memberID
    request.sessionTimeoutMs = Int32(timeouts.session / .milliseconds(1))
    request.rebalanceTimeoutMs = Int32(timeouts.rebalance / .milliseconds(1))
    request.protocolType = "consumer"
    request.protocols = [offer]
    let ready = request
    let patience = TimeAmount.nanoseconds(Int64(timeouts.rebalance / .nanoseconds(1))) + .seconds(10)
    let response = try await client.withCoordinator(of: group) { coordinator in
      let response = try await coordinator.send(ready, timeout: patience)
      if response.errorCode.isRetriable { throw KafkaClientError.refused("group '\(ready.groupID)'", response.errorCode) }
      return response
    }
    switch response.errorCode {
    case .none:
      memberID = response.memberID
      generationID = response.generationID
      return response
    case .memberIDRequired:
      memberID = response.memberID
      return nil
    case .unknownMemberID, .illegalGeneration:
      memberID = ""
      generationID = -1
      return nil
    case .rebalanceInProgress:
      return nil
    case .inconsistentGroupProtocol:
      throw KafkaClientError(
        .refused, "the members of group '\(group)' use another assignor than 'range'", kafkaCode: response.errorCode)
    default:
      throw KafkaClientError.refused("group '\(group)'", response.errorCode)
    }
  }

  /// The leader's part: everybody's partitions.
  private func assign(_ joined: JoinGroupResponse) async throws -> [SyncGroupRequest.Assignment] {
    var subscriptions: [String: [String]] = [:]
    for member in joined.members {
      do {
        subscriptions[member.memberID] = try ConsumerProtocolSubscription.decode(member.metadata).topics
      } catch {
        throw KafkaClientError(
          .malformedResponse, "member '\(member.memberID)' of group '\(group)' sent an unreadable subscription")
      }
    }
    var counts: [String: Int32] = [:]
    for name in Set(subscriptions.values.joined()) {
      counts[name] = (try? await client.topic(name)).map { Int32($0.partitions.count) }
    }
    return RangeAssignor.assign(subscriptions: subscriptions, partitionCounts: counts).map { member, partitions in
      var assignment = SyncGroupRequest.Assignment()
      assignment.memberID = member
      assignment.assignment = ConsumerProtocolAssignment(partitions).encoded(version: 0)
      return assignment
    }
  }

  /// One SyncGroup; nil if the group has begun to rebalance again.
  private func sync(
    _ joined: JoinGroupResponse, _ assignments: [SyncGroupRequest.Assignment]
  ) async throws -> [TopicPartition]? {
    var request = SyncGroupRequest()
    request.groupID = group
    request.generationID = generationID
    request.memberID = memberID
    request.protocolType = "consumer"
    request.protocolName = RangeAssignor.protocolName
    request.assignments = assignments
    let ready = request
    let patience = TimeAmount.nanoseconds(Int64(timeouts.rebalance / .nanoseconds(1))) + .seconds(10)
    let response = try await client.withCoordinator(of: group) { try await $0.send(ready, timeout: patience) }
    switch response.errorCode {
    case .none:
      // A member without work may get an assignment of no bytes at all.
      if response.assignment.readableBytes == 0 { return [] }
      do { return try ConsumerProtocolAssignment.decode(response.assignment).topicPartitions } catch {
        throw KafkaClientError(.malformedResponse, "the leader of group '\(group)' sent an unreadable assignment")
      }
    case .rebalanceInProgress, .coordinatorNotAvailable, .notCoordinator, .coordinatorLoadInProgress: return nil
    case .unknownMemberID, .illegalGeneration:
      memberID = ""
      generationID = -1
      return nil
    default: throw KafkaClientError.refused("group '\(group)'", response.errorCode)
    }
  }

  private func startHeartbeats() {
    let interval = timeouts.heartbeatInterval
    heartbeats = Task { [weak self] in
      while !Task.isCancelled {
        do { try await Task.sleep(for: interval) } catch { return }
        guard await self?.heartbeat() == true else { return }
      }
    }
  }

  /// Returns whether further heartbeats make sense.
  private func heartbeat() async -> Bool {
    var request = HeartbeatRequest()
    request.groupID = group
    request.generationID = generationID
    request.memberID = memberID
    let ready = request
    do {
      let response = try await client.coordinator(of: group).send(ready)
      switch response.errorCode {
      case .none: return true
      case .notCoordinator, .coordinatorNotAvailable, .coordinatorLoadInProgress:
        await client.forget(coordinatorOf: group)
        return true
      case .rebalanceInProgress: break
      default:
        memberID = ""
        generationID = -1
      }
      mustRejoin = true
      return false
    } catch {
      // The connection was lost; the session may outlive that, so the next heartbeat tries again.
      await client.forget(coordinatorOf: group)
      return !(error is CancellationError)
    }
  }

  /// Commits the offsets of the records that come next.
  ///
  /// - Returns: false if the group has moved on, so that these partitions are somebody else's: `join` again and read from what is
  ///   committed.
  public func commit(_ offsets: [TopicPartition: Int64]) async throws -> Bool {
    guard generationID >= 0 else { return false }
    do {
      try await client.commit(
        offsets, group: group, as: GroupMembership(memberID: memberID, generationID: generationID))
      return true
    } catch let error as KafkaClientError {
      switch error.kafkaCode {
      case .illegalGeneration, .unknownMemberID, .rebalanceInProgress:
        mustRejoin = true
        return false
      default: throw error
      }
    }
  }

  /// Leaves the group, so that its partitions go to others at once instead of after the session's end.
  public func leave() async {
    heartbeats?.cancel()
    heartbeats = nil
    guard !memberID.isEmpty else { return }
    var member = LeaveGroupRequest.MemberIdentity()
    member.memberID = memberID
    var request = LeaveGroupRequest()
    request.groupID = group
    request.memberID = memberID
    request.members = [member]
    // A failure changes nothing for us: the session ends by itself.
    _ = try? await client.coordinator(of: group).send(request, timeout: .seconds(5))
    memberID = ""
    generationID = -1
  }
}
