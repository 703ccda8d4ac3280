import Hummingbird
import Query

/// How a client sees that an answer failed after its first byte.
enum AnswerEnding: Equatable {
  /// In the trailer `Quire-Error`, for a client that says it reads trailers (`TE: trailers`).
  case trailer
  /// As a last event of an event stream.
  case event
  /// A line that is no row, and no end of the answer behind it.
  case objectLine, arrayElement, plainLine
  /// No end of the answer.
  case cutOff

  init(_ format: QueryRequest.Format) {
    switch format {
    case .events: self = .event
    case .jsonl: self = .objectLine
    case .json: self = .arrayElement
    case .table, .csv: self = .plainLine
    }
  }

  /// What goes out as the answer's last bytes.
  func text(of failure: AnswerFailure) -> String? {
    switch self {
    case .trailer, .cutOff: nil
    case .event: "event: error\ndata: \(failure.json)\n\n"
    case .objectLine: "{\"error\":\(failure.json)}\n"
    // Not an array that ends: no reader of JSON takes it.
    case .arrayElement: "\n{\"error\":\(failure.json)}\n"
    case .plainLine: "\nERROR: \(failure.message.replacing("\n", with: " "))\n"
    }
  }
}

/// Names of headers.
typealias FieldName = HTTPFields.Element.Name

extension FieldName {
  static let quireError = FieldName("Quire-Error")!
  static let lastEventID = FieldName("Last-Event-ID")!
  static let fetchSite = FieldName("Sec-Fetch-Site")!
}

extension AnswerFailure {
  /// As a header can have it: JSON in ASCII.
  var fieldValue: String {
    var text = ""
    for unit in json.utf16 {
      if unit >= 0x20, unit < 0x7F {
        text.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      } else {
        let hex = String(unit, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      }
    }
    return text
  }
}

/// Server-sent events, as browsers have them (HTML Living Standard, §9.2).
enum EventStream {
  static let mediaType = "text/event-stream"

  static func isWanted(by request: Request) -> Bool {
    request.headers[.accept]?.lowercased().contains(mediaType) ?? false
  }

  /// Not what a page of another site sends; programs say nothing of it.
  static func isOwn(_ request: Request) -> Bool {
    guard let site = request.headers[.fetchSite] else { return true }
    return site == "same-origin" || site == "none"
  }
}

extension QueryRequest.Format {
  var mediaType: String { self == .events ? EventStream.mediaType : output.mediaType }
}
