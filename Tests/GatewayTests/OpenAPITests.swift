import Export
import Testing

@testable import Gateway

struct OpenAPITests {
  @Test("the OpenAPI document has every route of the door, and no others")
  func routes() throws {
    let document = try OpenAPIDocument.text.utf8.withContiguousStorageIfAvailable { bytes in
      try JSONReader.read(UnsafeRawBufferPointer(bytes))
    }
    let paths = try #require(document?["paths"]).members
    let written = paths.flatMap { path in path.value.members.map { "\($0.name) \(path.name)" } }
    let served = GatewayRoute.allCases.map { "\("\($0.method)".lowercased()) \($0.path)" }
    #expect(written.sorted() == served.sorted())
    #expect(document?["openapi"]?.string?.hasPrefix("3.1") == true && document?["info"]?["version"]?.string != "VERSION")
  }

  @Test(
    "requests are counted under the route they are of",
    arguments: [
      ("/v1/queries", "/v1/queries"), ("/v1/queries/7", "/v1/queries/{id}"), ("/v1/query", "/v1/query"),
      ("/metrics", "/metrics"),
      ("/v1/queries/7/8", nil), ("/v1", nil), ("/", nil), ("/v1/openapi.json", "/v1/openapi.json"),
    ] as [(String, String?)])
  func counted(path: String, route: String?) {
    #expect(GatewayRoute.path(of: path) == route)
  }
}

struct QueryStringTests {
  @Test("a query string is decoded as forms write it")
  func decodes() throws {
    #expect(
      try QueryString.members(of: "sql=SELECT+1%2B1%20%3D%202&from=&x&y=a=b%") == [
        "sql": "SELECT 1+1 = 2", "from": "", "x": "", "y": "a=b%",
      ])
    #expect(throws: RequestRejection.self) { try QueryString.members(of: "a=%FF") }
    #expect(throws: RequestRejection.self) { try QueryString.members(of: "a=1&a=2") }
  }
}

extension JSON {
  fileprivate var members: [(name: String, value: JSON)] {
    if case .object(let members) = self { members.map { ($0.0, $0.1) } } else { [] }
  }
}
