import Glibc
import Testing

@Suite struct CoordinationSimulationTests {
  /// More, or others, by hand: QUIRE_SIMULATION_SEEDS=10000 QUIRE_SIMULATION_FROM=1.
  static let seeds: Range<UInt64> = {
    func number(_ name: String, _ other: UInt64) -> UInt64 { getenv(name).flatMap { UInt64(String(cString: $0)) } ?? other }
    let first = number("QUIRE_SIMULATION_FROM", 1)
    return first..<first + number("QUIRE_SIMULATION_SEEDS", 200)
  }()

  @Test(
    "whatever network, disks, nodes and clients do: no commit is lost or goes back, no partition has two owners, everybody is answered"
  )
  func safety() {
    var (generations, acknowledgements, reloads, refusals) = (0, 0, 0, 0)
    for seed in Self.seeds {
      var simulation = CoordinationSimulation(seed: seed)
      simulation.run()
      generations += simulation.generations
      acknowledgements += simulation.acknowledgements
      reloads += simulation.reloads
      refusals += simulation.refusals
      if let violation = simulation.violation {
        var again = CoordinationSimulation(seed: seed, keepsTrace: true)
        again.run()
        Issue.record("seed \(seed): \(violation)\n\(again.trace.suffix(80).joined(separator: "\n"))")
        return
      }
    }
    // The seeds have to be of some use.
    let count = Self.seeds.count
    #expect(generations > 3 * count && acknowledgements > 50 * count && reloads > 3 * count && refusals > 3 * count)
    if count > 200 {
      print(
        "\(count) seeds: \(generations) generations, \(acknowledgements) commits, \(reloads) times read, \(refusals) changes refused"
      )
    }
  }

  @Test("a seed is a history: it happens again exactly")
  func determinism() {
    for seed: UInt64 in 1...5 {
      var first = CoordinationSimulation(seed: seed, keepsTrace: true)
      var second = CoordinationSimulation(seed: seed, keepsTrace: true)
      first.run()
      second.run()
      let isSame = first.trace == second.trace
      #expect(isSame)
      #expect(first.trace.count > 400)
    }
  }

  @Test("known ways to break promises are found", arguments: CoordinationSimulation.Mutation.allCases)
  func mutations(_ mutation: CoordinationSimulation.Mutation) {
    let isFound = (1...400).contains { seed in
      var simulation = CoordinationSimulation(seed: UInt64(seed), mutation: mutation)
      simulation.run()
      return simulation.violation != nil
    }
    #expect(isFound)
  }
}
