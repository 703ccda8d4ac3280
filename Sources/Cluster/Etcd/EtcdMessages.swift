import FoundationEssentials

// What travels over etcd's JSON gateway (etcd 3.4, api/etcdserverpb/rpc.proto by way of grpc-gateway): 64-bit numbers are strings, bytes are
// base64, and a field that is zero, empty or false is left out. It takes names in camel case and answers in snake case.

/// A 64-bit number as the gateway writes it.
struct EtcdInteger: Codable, Hashable, ExpressibleByIntegerLiteral {
  var value: Int64

  init(_ value: Int64) { self.value = value }
  init(integerLiteral value: Int64) { self.value = value }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let text = try? container.decode(String.self) {
      guard let value = Int64(text) else {
        throw DecodingError.dataCorruptedError(in: container, debugDescription: "'\(text.prefix(40))' is not a 64-bit number")
      }
      self.value = value
    } else {
      value = try container.decode(Int64.self)
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(String(value))
  }
}

struct EtcdHeader: Decodable {
  var revision: EtcdInteger?
}

struct EtcdWireEntry: Decodable {
  var key: Data
  var value: Data?
  var modRevision: EtcdInteger?
}

struct EtcdRangeRequest: Encodable {
  var key: Data
  var rangeEnd: Data?
  var limit: EtcdInteger?
  var revision: EtcdInteger?
}

struct EtcdRangeResponse: Decodable {
  var header: EtcdHeader
  var kvs: [EtcdWireEntry]?
  var more: Bool?
}

struct EtcdPut: Encodable {
  var key: Data
  var value: Data
  var lease: EtcdInteger?
}

struct EtcdDeleteRange: Encodable {
  var key: Data
  var rangeEnd: Data?
}

struct EtcdWireOperation: Encodable {
  var requestPut: EtcdPut?
  var requestDeleteRange: EtcdDeleteRange?
}

struct EtcdWireCompare: Encodable {
  var key: Data
  var target: String
  var result = "EQUAL"
  var modRevision: EtcdInteger
}

struct EtcdTransactionRequest: Encodable {
  var compare: [EtcdWireCompare]
  var success: [EtcdWireOperation]
}

struct EtcdTransactionResponse: Decodable {
  var header: EtcdHeader
  var succeeded: Bool?
}

struct EtcdLeaseRequest: Encodable {
  var id: EtcdInteger
  var ttl: EtcdInteger?

  enum CodingKeys: String, CodingKey {
    case id = "ID"
    case ttl = "TTL"
  }
}

struct EtcdLeaseResponse: Decodable {
  var id: EtcdInteger?
  var ttl: EtcdInteger?

  enum CodingKeys: String, CodingKey {
    case id = "ID"
    case ttl = "TTL"
  }
}

/// One line of a stream; `keepalive` and `watch` answer in streams.
struct EtcdStreamed<Result: Decodable>: Decodable {
  var result: Result?
  var error: EtcdWireError?
}

struct EtcdWatchRequest: Encodable {
  struct Create: Encodable {
    var key: Data
    var rangeEnd: Data
    var startRevision: EtcdInteger
  }
  var createRequest: Create
}

struct EtcdWatchResponse: Decodable {
  struct Event: Decodable {
    /// Left out for a put.
    var type: String?
    var kv: EtcdWireEntry
  }
  var canceled: Bool?
  var compactRevision: EtcdInteger?
  var cancelReason: String?
  var events: [Event]?
}

struct EtcdAuthenticateRequest: Encodable {
  var name: String
  var password: String
}

struct EtcdAuthenticateResponse: Decodable {
  var token: String
}

/// A refusal: gRPC's code, and words.
struct EtcdWireError: Decodable {
  var code: Int?
  var grpcCode: Int?
  var message: String?
  var error: String?
}
