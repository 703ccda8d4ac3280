import Glibc
import Model
import Replication
import Testing

@Suite struct ReplicationSimulationTests {
  /// More, or others, by hand: QUIRE_SIMULATION_SEEDS=10000 QUIRE_SIMULATION_FROM=1.
  static let seeds: Range<UInt64> = {
    func number(_ name: String, _ other: UInt64) -> UInt64 { getenv(name).flatMap { UInt64(String(cString: $0)) } ?? other }
    let first = number("QUIRE_SIMULATION_FROM", 1)
    return first..<first + number("QUIRE_SIMULATION_SEEDS", 200)
  }()

  @Test("whatever the network, the disks and the nodes do, nothing acknowledged is lost and replicas become equal")
  func safety() {
    var elections = 0
    var truncations = 0
    var acknowledged = 0
    for seed in Self.seeds {
      var simulation = ReplicationSimulation(seed: seed)
      simulation.run()
      elections += simulation.elections
      truncations += simulation.truncations
      acknowledged += simulation.acknowledged.count
      if let violation = simulation.violation {
        var again = ReplicationSimulation(seed: seed, keepsTrace: true)
        again.run()
        Issue.record("seed \(seed): \(violation)\n\(again.trace.suffix(60).joined(separator: "\n"))")
        return
      }
    }
    // The seeds have to be of some use.
    let count = Self.seeds.count
    #expect(elections > 3 * count && truncations > count && acknowledged > 20 * count)
  }

  @Test("a seed is a history: it happens again exactly")
  func determinism() {
    for seed: UInt64 in 1...5 {
      var first = ReplicationSimulation(seed: seed, keepsTrace: true)
      var second = ReplicationSimulation(seed: seed, keepsTrace: true)
      first.run()
      second.run()
      #expect(first.trace == second.trace)
      #expect(first.acknowledged == second.acknowledged)
    }
  }

  @Test("known ways to lose records are found", arguments: ReplicationSimulation.Mutation.allCases)
  func mutations(_ mutation: ReplicationSimulation.Mutation) {
    let isFound = (1...400).contains { seed in
      var simulation = ReplicationSimulation(seed: UInt64(seed), mutation: mutation)
      simulation.run()
      return simulation.violation != nil
    }
    #expect(isFound)
  }
}
