import Model

/// Prometheus' text exposition format, version 0.0.4.
///
/// ```
/// # HELP quire_sync_seconds Seconds that the syncs of a group commit took, all its WALs together.
/// # TYPE quire_sync_seconds histogram
/// quire_sync_seconds_bucket{le="0.001"} 17
/// quire_sync_seconds_bucket{le="+Inf"} 20
/// quire_sync_seconds_sum 0.043
/// quire_sync_seconds_count 20
/// ```
enum PrometheusText {
  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// `label` as a metric name: legal characters, our prefix, the ending its kind has.
  static func name(_ label: String, suffix: String) -> String {
    var name = String(decoding: label.utf8.map { isNameByte($0) ? $0 : 0x5F }, as: UTF8.self)
    if !name.hasPrefix("quire_") && !name.hasPrefix("process_") { name = "quire_" + name }
    if !name.hasSuffix(suffix) { name += suffix }
    return name
  }

  /// `{a="b",c="d"}`, or nothing when there are none. Sorted, so that the order of the caller's labels makes no second series.
  static func labels(_ dimensions: [(String, String)]) -> String {
    if dimensions.isEmpty { return "" }
    let pairs = dimensions.sorted { $0.0 < $1.0 }.map { name, value in
      let legal = String(decoding: name.utf8.map { isNameByte($0) ? $0 : 0x5F }, as: UTF8.self)
      return "\(legal)=\"\(escaped(value))\""
    }
    return "{\(pairs.joined(separator: ","))}"
  }

  static func render(_ registry: MetricsRegistry) -> String {
    let (families, samples, refusedCount) = registry.snapshot()
    var text = ""
    for (name, family) in families {
      text += heading(name, family.kind.rawValue)
      for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
        switch series {
        case .counter(let counter): text += "\(name)\(labels) \(counter.value)\n"
        case .gauge(let gauge): text += "\(name)\(labels) \(number(gauge.value))\n"
        case .histogram(let histogram): append(histogram, name, labels, to: &text)
        }
      }
    }
    // A family's lines have to stand together, under one TYPE line.
    var sampleNames: [String] = []
    var samplesByName: [String: [MetricSample]] = [:]
    let refused = MetricSample("metric_series_refused", value: Double(refusedCount), isCounter: true)
    for sample in samples + [refused] {
      let name = Self.name(sample.name, suffix: sample.isCounter ? "_total" : "")
      if samplesByName[name] == nil { sampleNames.append(name) }
      samplesByName[name, default: []].append(sample)
    }
    for name in sampleNames.sorted() {
      let samples = samplesByName[name] ?? []
      text += heading(name, samples.first?.isCounter == true ? "counter" : "gauge")
      for sample in samples { text += "\(name)\(labels(sample.labels)) \(number(sample.value))\n" }
    }
    return text
  }

  /// What a family is. A name that the table of metrics does not know says so, rather than nothing.
  private static func heading(_ name: String, _ kind: String) -> String {
    let help = Metric.documentation(of: name) ?? "Not described."
    return "# HELP \(name) \(help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n"))\n# TYPE \(name) \(kind)\n"
  }

  private static func append(_ histogram: HistogramSeries, _ name: String, _ labels: String, to text: inout String) {
    let counts = histogram.value
    let inner = labels.isEmpty ? "" : labels.dropFirst().dropLast() + ","
    var total: UInt64 = 0
    for (bound, count) in zip(histogram.bounds, counts.buckets) {
      total += count
      text += "\(name)_bucket{\(inner)le=\"\(number(bound))\"} \(total)\n"
    }
    total += counts.buckets.last ?? 0
    text += "\(name)_bucket{\(inner)le=\"+Inf\"} \(total)\n"
    text += "\(name)_sum\(labels) \(number(counts.sum))\n"
    text += "\(name)_count\(labels) \(total)\n"
  }

  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
    return "\(value)"
  }

  private static func escaped(_ value: String) -> String {
    var text = ""
    for character in value.unicodeScalars {
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(character)
      }
    }
    return text
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5A) || (byte >= 0x61 && byte <= 0x7A) || byte == 0x5F
  }
}
