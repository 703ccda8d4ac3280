internal import ArgumentParser
internal import Glibc
internal import KafkaClient

/// Which Kafka broker a client command talks to.
struct ClientOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Broker to begin with (or QUIRE_BOOTSTRAP; default 127.0.0.1:9092).", valueName: "host:port"))
  var bootstrap: String?

  func validate() throws { _ = try addresses() }

  func addresses() throws -> [BrokerAddress] {
    do {
      return try BrokerAddress.list(parsing: bootstrap ?? environment("QUIRE_BOOTSTRAP") ?? "127.0.0.1:9092")
    } catch {
      throw ValidationError(error.message)
    }
  }

  /// Runs `work` with a client that is closed behind it; Ctrl-C cancels it.
  func withClient<R: Sendable>(_ work: @escaping @Sendable (KafkaClient) async throws -> R) async throws -> R {
    let addresses = try addresses()
    return try await Interruption.cancelling {
      let client = KafkaClient(bootstrap: addresses, clientID: "quire")
      do {
        let result = try await work(client)
        await client.close()
        return result
      } catch {
        await client.close()
        throw error
      }
    }
  }
}

/// The form in which a list for people is printed.
enum ListFormat: String, ExpressibleByArgument, CaseIterable, Sendable { case table, json }

/// The form of records, in and out.
enum RecordFormat: String, ExpressibleByArgument, CaseIterable, Sendable { case lines, jsonl }

/// The value of an environment variable; nil if unset or empty.
func environment(_ name: String) -> String? {
  guard let value = getenv(name), value[0] != 0 else { return nil }
  return String(cString: value)
}

/// All environment variables.
func environmentVariables() -> [String: String] {
  var variables: [String: String] = [:]
  var entry = environ
  while let text = entry.pointee {
    let pair = String(cString: text)
    if let equals = pair.firstIndex(of: "=") { variables[String(pair[..<equals])] = String(pair[pair.index(after: equals)...]) }
    entry += 1
  }
  return variables
}
