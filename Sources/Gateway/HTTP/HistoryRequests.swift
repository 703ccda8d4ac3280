import FoundationEssentials
import NIOCore
public import Query

/// A value given for a parameter of a statement.
public enum ParameterValue: Hashable, Sendable {
  case null
  case integer(Int64)
  case real(Double)
  case text(String)
}

/// The body of `POST /v1/query`.
public struct QueryRequest: Hashable, Sendable {
  public enum Format: String, Sendable, CaseIterable {
    case table, json, jsonl, csv
    /// Server-sent events, of a statement that is followed.
    case events
  }

  public var sql: String
  /// By name, without the `:` or `$` or `@` it has in the statement.
  public var parameters: [String: ParameterValue]
  public var format: Format
  public var limits = Limits()
  /// Nil for a statement that ends.
  public var follow: FollowStart?

  /// Bounds for this statement; none is above the node's.
  public struct Limits: Hashable, Sendable {
    public var timeMilliseconds: Int?
    public var outputBytes: Int?
    public var temporaryBytes: Int?
    public var memoryBytes: Int?
    public init() {}
  }
}

/// Why a request's body was refused; a sentence for the client.
struct RequestRejection: Error {
  var message: String
}

extension QueryRequest {
  private struct Body: Decodable {
    var sql: String
    var parameters: [String: JSONScalar]?
    var format: String?
    var limits: [String: Int]?
    var follow: Bool?
    var from: JSONScalar?
  }

  /// - Parameters:
  ///   - wantsEvents: the client takes server-sent events and nothing else.
  ///   - lastEventID: where it was before.
  ///   - now: milliseconds, for a start that is relative to it.
  init(json: ByteBuffer, wantsEvents: Bool, lastEventID: String?, now: Int64) throws(RequestRejection) {
    let body = try decodeBody(
      Body.self, json, allowed: ["sql", "parameters", "format", "limits", "follow", "from"])
    sql = body.sql
    parameters = (body.parameters ?? [:]).mapValues(\.value)
    let isFollowing = body.follow ?? false
    format = try decodeFormat(body.format, default: isFollowing ? (wantsEvents ? .events : .jsonl) : .json)
    if isFollowing {
      follow = try Self.start(body.from?.text, lastEventID, now)
    } else if body.from != nil || format == .events {
      throw RequestRejection(message: "'from' and the format 'events' belong to statements that are followed ('follow': true)")
    }
    for (name, value) in body.limits ?? [:] {
      guard value > 0 else { throw RequestRejection(message: "the limit '\(name)' is not above 0") }
      switch name {
      case "time_ms": limits.timeMilliseconds = value
      case "output_bytes": limits.outputBytes = value
      case "temporary_bytes": limits.temporaryBytes = value
      case "memory_bytes": limits.memoryBytes = value
      default:
        throw RequestRejection(
          message: "unknown limit '\(name)'; there are: memory_bytes, output_bytes, temporary_bytes, time_ms")
      }
    }
  }
}

extension QueryRequest {
  /// `GET /v1/query?sql=…&from=…&parameters={…}`, which is all that an EventSource of a browser can send.
  init(
    sql: String?, parameters: String?, from: String?, lastEventID: String?, now: Int64
  ) throws(RequestRejection) {
    guard let sql else { throw RequestRejection(message: "the query string has no 'sql'") }
    self.sql = sql
    self.parameters = [:]
    if let parameters {
      do {
        self.parameters = try JSONDecoder().decode([String: JSONScalar].self, from: Data(parameters.utf8)).mapValues(\.value)
      } catch {
        throw RequestRejection(message: "'parameters' is not a JSON object of values")
      }
    }
    format = .events
    follow = try Self.start(from, lastEventID, now)
  }

  /// Where following begins: behind the event that a client saw last, else where it says, else with what comes in from now on.
  private static func start(_ from: String?, _ lastEventID: String?, _ now: Int64) throws(RequestRejection) -> FollowStart {
    if let lastEventID, !lastEventID.isEmpty {
      guard let position = FollowPosition(lastEventID) else {
        throw RequestRejection(message: "Last-Event-ID is not the id of an event of this server")
      }
      return .position(position)
    }
    guard let from else { return .bound(.end) }
    do throws(RangeError) { return .bound(try RangeBound(from, now: now)) } catch {
      throw RequestRejection(message: error.description)
    }
  }
}

struct JSONScalar: Decodable {
  var value: ParameterValue

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      value = .null
    } else if let flag = try? container.decode(Bool.self) {
      value = .integer(flag ? 1 : 0)
    } else if let number = try? container.decode(Int64.self) {
      value = .integer(number)
    } else if let number = try? container.decode(Double.self) {
      value = .real(number)
    } else {
      value = .text(try container.decode(String.self))
    }
  }

  /// As it would stand on a command line.
  var text: String? {
    switch value {
    case .null: nil
    case .integer(let number): String(number)
    case .real(let number): "\(number)"
    case .text(let text): text
    }
  }
}

/// The names of an object, whatever their values.
private struct Names: Decodable {
  struct Key: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
  var names: [String]
  init(from decoder: any Decoder) throws {
    names = try decoder.container(keyedBy: Key.self).allKeys.map(\.stringValue)
  }
}

func decodeBody<Body: Decodable>(
  _ type: Body.Type, _ json: ByteBuffer, allowed: Set<String>
) throws(RequestRejection) -> Body {
  let data = Data(json.readableBytesView)
  do {
    if let strange = try JSONDecoder().decode(Names.self, from: data).names.sorted().first(where: { !allowed.contains($0) }) {
      throw RequestRejection(message: "unknown member '\(strange)' in the body")
    }
    return try JSONDecoder().decode(type, from: data)
  } catch let rejection as RequestRejection {
    throw rejection
  } catch DecodingError.keyNotFound(let key, _) {
    throw RequestRejection(message: "the body has no '\(key.stringValue)'")
  } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
    let path = context.codingPath.map(\.stringValue).joined(separator: ".")
    throw RequestRejection(message: path.isEmpty ? "the body is not a JSON object" : "'\(path)' has a value of the wrong type")
  } catch {
    throw RequestRejection(message: "the body is not JSON")
  }
}

func decodeFormat<Format: RawRepresentable & CaseIterable>(
  _ name: String?, default: Format
) throws(RequestRejection) -> Format where Format.RawValue == String {
  guard let name else { return `default` }
  if let format = Format(rawValue: name) { return format }
  let names = Format.allCases.map(\.rawValue).joined(separator: ", ")
  throw RequestRejection(message: "unknown format '\(name)'; there are: \(names)")
}
