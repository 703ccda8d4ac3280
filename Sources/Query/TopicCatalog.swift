/// The names under which topics are tables.
///
/// A topic's table has the topic's name. SQL names do not tell upper from lower case, and some belong to SQLite; where a topic
/// cannot have its own name, it is `name@1` (in byte order of the topics that are alike; `@` is in no topic name), and the plain name
/// is an error that says so, never one of them by chance.
struct TopicCatalog {
  struct Table {
    var name: String
    var topic: String
  }
  var tables: [Table] = []
  /// A plain name that means several topics, and what to write instead.
  var ambiguous: [(name: String, advice: String)] = []

  /// - Parameter taken: names that are SQLite's, in lower case.
  init(_ topics: [String], taken: Set<String>) {
    for (lowered, topics) in Dictionary(grouping: topics, by: { $0.lowercased() }) {
      let sorted = topics.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      let isTaken = taken.contains(lowered)
      if sorted.count == 1 && !isTaken {
        tables.append(Table(name: sorted[0], topic: sorted[0]))
        continue
      }
      var advice: [String] = []
      for (i, topic) in sorted.enumerated() {
        tables.append(Table(name: "\(topic)@\(i + 1)", topic: topic))
        advice.append("\"\(topic)@\(i + 1)\" for topic \(topic)")
      }
      if !isTaken {
        ambiguous.append((lowered, "table names do not tell upper from lower case; write \(advice.joined(separator: ", "))"))
      }
    }
  }
}
