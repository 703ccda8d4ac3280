internal import KafkaProtocol
internal import Model

/// ApiVersions, versions 0 to 4: what is served (KIP-35, KIP-511). The response header is always version 0.
extension Call {
  func handle(_ request: ApiVersionsRequest) {
    var response = ApiVersionsResponse()
    if version >= 3,
      !Self.isLegalSoftwareName(request.clientSoftwareName) || !Self.isLegalSoftwareName(request.clientSoftwareVersion)
    {
      response.errorCode = .invalidRequest
      return reply(response)
    }
    response.apiKeys = ServedVersions.advertised.map(Self.row)
    reply(response)
  }

  /// The answer to a version that is not known: version 0, with this API's own range first so that the client can ask again.
  func replyUnsupportedApiVersions() {
    var response = ApiVersionsResponse()
    response.errorCode = .unsupportedVersion
    let all = ServedVersions.advertised
    response.apiKeys = all.filter { $0.0 == .apiVersions }.map(Self.row) + all.filter { $0.0 != .apiVersions }.map(Self.row)
    finish(KafkaMessageCodec.encodeResponse(response, correlationID: header.correlationID, version: 0))
  }

  private static func row(_ key: APIKey, _ versions: ClosedRange<Int16>) -> ApiVersionsResponse.ApiVersion {
    var row = ApiVersionsResponse.ApiVersion()
    row.apiKey = key.rawValue
    row.minVersion = versions.lowerBound
    row.maxVersion = versions.upperBound
    return row
  }

  /// `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`
  private static func isLegalSoftwareName(_ name: String) -> Bool {
    func isAlphanumeric(_ c: UInt8) -> Bool {
      (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x5A) || (c >= 0x61 && c <= 0x7A)
    }
    guard let first = name.utf8.first, let last = name.utf8.last else { return false }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && name.utf8.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x2E }
  }
}
