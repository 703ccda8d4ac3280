import FoundationEssentials

/// The elements of a JSON array of scalars, each as text.
enum JSONScalars {
  private struct Scalar: Decodable {
    var text: String?

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        text = nil
      } else if let number = try? container.decode(Int64.self) {
        text = String(number)
      } else if let flag = try? container.decode(Bool.self) {
        text = flag ? "t" : "f"
      } else if let number = try? container.decode(Double.self) {
        text = ValueWriter.floatText(number)
      } else {
        text = try container.decode(String.self)
      }
    }
  }

  static func read(_ json: String) -> [String?]? {
    (try? JSONDecoder().decode([Scalar].self, from: Data(json.utf8)))?.map(\.text)
  }
}
