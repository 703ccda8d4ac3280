internal import DequeModule
internal import NIOCore

/// The replies a connection owes, in the order of its requests: a reply leaves only when all before it have left.
///
/// Lives on the connection's event loop.
struct ReplyQueue {
  /// The place of one reply, handed to whoever works on the request.
  struct Ticket: Hashable, Sendable { fileprivate let number: UInt64 }

  private var replies: Deque<[ByteBuffer]?> = []
  /// The number of the reply at the front.
  private var front: UInt64 = 0

  var isEmpty: Bool { replies.isEmpty }
  var count: Int { replies.count }

  /// A place behind all others.
  mutating func reserve() -> Ticket {
    replies.append(nil)
    return Ticket(number: front &+ UInt64(replies.count) &- 1)
  }

  /// Puts the reply's bytes, in pieces, into its place; no pieces for a request without a reply.
  ///
  /// - Precondition: the place is open: one request has one reply.
  mutating func fill(_ ticket: Ticket, with reply: [ByteBuffer]) {
    let index = Int(ticket.number &- front)
    precondition(ticket.number >= front && index < replies.count && replies[index] == nil, "a request is answered once")
    replies[index] = reply
  }

  /// The next reply that may leave, or nil.
  mutating func next() -> [ByteBuffer]? {
    guard let head = replies.first, let reply = head else { return nil }
    replies.removeFirst()
    front &+= 1
    return reply
  }
}
