public import Records

/// A record's headers as JSON: pairs in their order, repeated names included, `[["name","value"],…]`.
///
/// A null value is null; bytes that are not UTF-8 are `{"base64":"…"}`.
public enum HeadersText {
  public static func append(_ headers: RecordHeaders, to out: inout [UInt8]) {
    out.append(0x5B)
    var isFirst = true
    for header in headers {
      if !isFirst { out.append(0x2C) }
      isFirst = false
      out.append(0x5B)
      JSONText.append(stringOrBase64: header.key, to: &out)
      out.append(0x2C)
      if let value = header.value {
        JSONText.append(stringOrBase64: value, to: &out)
      } else {
        out.append(contentsOf: "null".utf8)
      }
      out.append(0x5D)
    }
    out.append(0x5D)
  }
}
