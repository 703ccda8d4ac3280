import CoreMetrics
import Model
import Testing

@testable import Gateway

@Suite struct PrometheusTextTests {
  let registry = MetricsRegistry()

  @Test("counters, gauges, timers and recorders come out in the text format, sorted and under one type line each")
  func golden() {
    Counter(label: "requests", dimensions: [("api", "Produce")], factory: registry).increment(by: 3)
    Counter(label: "requests", dimensions: [("api", "Fetch")], factory: registry).increment()
    Meter(label: "quire_open_databases", factory: registry).set(7)
    let timer = CoreMetrics.Timer(label: "sync", factory: registry)
    timer.recordNanoseconds(90_000)
    timer.recordNanoseconds(60_000_000_000)
    registry.addGauges { [MetricSample("partitions", value: 12)] }
    let lines = PrometheusText.render(registry).split(separator: "\n").map(String.init)
    #expect(lines.first == "# HELP quire_open_databases Segment databases open, for writing or reading.")
    #expect(lines.dropFirst().first == "# TYPE quire_open_databases gauge")
    let requests = lines.firstIndex(of: "# TYPE quire_requests_total counter") ?? 0
    #expect(
      Array(lines[requests...].prefix(3)) == [
        "# TYPE quire_requests_total counter", "quire_requests_total{api=\"Fetch\"} 1",
        "quire_requests_total{api=\"Produce\"} 3",
      ])
    #expect(lines.contains("quire_sync_seconds_bucket{le=\"0.0001\"} 1"))
    #expect(lines.contains("quire_sync_seconds_bucket{le=\"10\"} 1"))
    #expect(lines.contains("quire_sync_seconds_bucket{le=\"+Inf\"} 2"))
    #expect(lines.contains("quire_sync_seconds_count 2"))
    #expect(lines.contains("quire_partitions 12"))
    #expect(lines.contains("quire_metric_series_refused_total 0"))
  }

  @Test("every line is a comment or a sample of the exposition format, whatever the labels hold")
  func format() {
    let nasty = "a\"b\\c\nd {x} é"
    Counter(label: "weird name-1", dimensions: [("la bel", nasty)], factory: registry).increment()
    Recorder(label: "bytes", dimensions: [("x", nasty)], aggregate: true, factory: registry).record(5)
    Meter(label: "inf", factory: registry).set(Double.infinity)
    for line in PrometheusText.render(registry).split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      #expect(Self.isLegal(String(line)), "\(line)")
    }
    #expect(!Self.isLegal("a-b 1"))
    #expect(!Self.isLegal("a{b=\"c} 1"))
    #expect(!Self.isLegal("a{b=\"c\"}"))
  }

  @Test("the same name and labels are one series, in whatever order they are given")
  func identity() {
    Counter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: registry).increment()
    Counter(label: "c", dimensions: [("b", "2"), ("a", "1")], factory: registry).increment()
    #expect(PrometheusText.render(registry).contains("quire_c_total{a=\"1\",b=\"2\"} 2\n"))
  }

  @Test("series beyond the bound, and a name used for two kinds, are counted as refused")
  func bounded() {
    for index in 0..<(Limits.metricSeriesMax + 5) {
      Counter(label: "c", dimensions: [("i", "\(index)")], factory: registry).increment()
    }
    Meter(label: "c_total", factory: registry).set(1)
    #expect(PrometheusText.render(registry).contains("quire_metric_series_refused_total 6\n"))
  }

  /// `name{label="escaped",…} number`, or a TYPE or HELP line.
  static func isLegal(_ line: String) -> Bool {
    let nameStart = { (c: Character) in c.isASCII && (c.isLetter || c == "_" || c == ":") }
    let nameRest = { (c: Character) in nameStart(c) || (c.isASCII && c.isNumber) }
    func isName(_ text: Substring) -> Bool { text.first.map(nameStart) == true && text.allSatisfy(nameRest) }
    if line.hasPrefix("# HELP ") {
      let words = line.split(separator: " ", maxSplits: 3)
      return words.count == 4 && isName(words[2])
    }
    if line.hasPrefix("# TYPE ") {
      let words = line.split(separator: " ")
      return words.count == 4 && isName(words[2]) && ["counter", "gauge", "histogram"].contains(words[3])
    }
    var rest = Substring(line)
    let name = rest.prefix(while: nameRest)
    guard isName(name) else { return false }
    rest = rest.dropFirst(name.count)
    if rest.first == "{" {
      rest = rest.dropFirst()
      while true {
        let label = rest.prefix(while: nameRest)
        guard isName(label) else { return false }
        rest = rest.dropFirst(label.count)
        guard rest.hasPrefix("=\"") else { return false }
        rest = rest.dropFirst(2)
        while let character = rest.first, character != "\"" {
          if character == "\\" {
            guard let escaped = rest.dropFirst().first, "\\\"n".contains(escaped) else { return false }
            rest = rest.dropFirst()
          }
          rest = rest.dropFirst()
        }
        guard rest.first == "\"" else { return false }
        rest = rest.dropFirst()
        if rest.first == "," {
          rest = rest.dropFirst()
          continue
        }
        guard rest.first == "}" else { return false }
        rest = rest.dropFirst()
        break
      }
    }
    guard rest.first == " " else { return false }
    let number = rest.dropFirst()
    return ["+Inf", "-Inf", "NaN"].contains(number) || Double(number) != nil
  }
}
