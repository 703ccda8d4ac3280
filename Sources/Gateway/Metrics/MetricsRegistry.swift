public import CoreMetrics
import Model
import Synchronization

/// The node's metrics, kept for Prometheus to read: a backend of swift-metrics.
///
/// Names begin with `quire_` and end as Prometheus wants them: counters in `_total`, timers in `_seconds`. Labels come from small fixed
/// sets (an API's name, an outcome); past `Limits.metricSeriesMax` series a new one is counted nowhere, so that a mistake cannot eat
/// the memory.
public final class MetricsRegistry: MetricsFactory, Sendable {
  enum Kind: String, Sendable {
    case counter, gauge, histogram
  }

  enum Series: Sendable {
    case counter(CounterSeries)
    case gauge(GaugeSeries)
    case histogram(HistogramSeries)
  }

  struct Family: Sendable {
    var kind: Kind
    /// By rendered labels, `{a="b"}` or empty.
    var series: [String: Series] = [:]
  }

  private struct State {
    var families: [String: Family] = [:]
    var seriesCount = 0
    var refusedCount = 0
    var gauges: [@Sendable () -> [MetricSample]] = []
  }

  private let state = Mutex(State())

  public init() {}

  /// Values that are looked up when they are asked for, rather than kept.
  public func addGauges(_ gauges: @escaping @Sendable () -> [MetricSample]) {
    state.withLock { $0.gauges.append(gauges) }
  }

  /// Everything there is, by name.
  func snapshot() -> (families: [(name: String, family: Family)], samples: [MetricSample], refusedCount: Int) {
    let (families, gauges, refused) = state.withLock { ($0.families, $0.gauges, $0.refusedCount) }
    return (families.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, gauges.flatMap { $0() }, refused)
  }

  /// The series of this name and these labels, made when it is the first time.
  ///
  /// - Returns: nil when there are too many, or when the name is taken by a metric of another kind.
  private func series(
    _ kind: Kind, _ label: String, suffix: String, _ dimensions: [(String, String)], make: () -> Series
  ) -> Series? {
    let name = PrometheusText.name(label, suffix: suffix)
    let labels = PrometheusText.labels(dimensions)
    return state.withLock { state in
      if let existing = state.families[name]?.series[labels] {
        return state.families[name]?.kind == kind ? existing : nil
      }
      guard state.seriesCount < Limits.metricSeriesMax, state.families[name, default: Family(kind: kind)].kind == kind else {
        state.refusedCount += 1
        return nil
      }
      let made = make()
      state.families[name, default: Family(kind: kind)].series[labels] = made
      state.seriesCount += 1
      return made
    }
  }

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    let series = series(.counter, label, suffix: "_total", dimensions) { .counter(CounterSeries()) }
    guard case .counter(let counter) = series else { return CounterSeries() }
    return counter
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    let series = series(.gauge, label, suffix: "", dimensions) { .gauge(GaugeSeries()) }
    guard case .gauge(let gauge) = series else { return GaugeSeries() }
    return gauge
  }

  /// A recorder that aggregates is a histogram of sizes and counts, one that does not is a gauge.
  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    if !aggregate {
      let series = series(.gauge, label, suffix: "", dimensions) { .gauge(GaugeSeries()) }
      guard case .gauge(let gauge) = series else { return GaugeSeries() }
      return gauge
    }
    let series = series(.histogram, label, suffix: "", dimensions) {
      .histogram(HistogramSeries(bounds: HistogramSeries.sizes))
    }
    guard case .histogram(let histogram) = series else { return HistogramSeries(bounds: HistogramSeries.sizes) }
    return histogram
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    let series = series(.histogram, label, suffix: "_seconds", dimensions) {
      .histogram(HistogramSeries(bounds: HistogramSeries.seconds))
    }
    guard case .histogram(let histogram) = series else { return HistogramSeries(bounds: HistogramSeries.seconds) }
    return histogram
  }

  // Series live as long as the node: what Prometheus has seen once must not vanish and come back smaller.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}

/// One value that is looked up when metrics are read.
public struct MetricSample: Sendable {
  public var name: String
  public var labels: [(String, String)]
  public var value: Double
  /// A counter rather than a gauge.
  public var isCounter: Bool

  public init(_ name: String, labels: [(String, String)] = [], value: Double, isCounter: Bool = false) {
    self.name = name
    self.labels = labels
    self.value = value
    self.isCounter = isCounter
  }
}
