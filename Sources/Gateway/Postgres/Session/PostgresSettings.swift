import Query

/// What SET and SHOW are about. Most settings mean nothing here and are kept for whoever asks; those that would change what values
/// look like have the one value that is true.
struct PostgresSettings: Sendable {
  static let database = "quire"
  static let serverVersion = "15.0"
  static let serverVersionNumber = "150000"

  /// Told to the client whenever they change; spelled as it expects them.
  static let reported = [
    "server_version", "server_encoding", "client_encoding", "application_name", "is_superuser", "session_authorization",
    "DateStyle",
    "IntervalStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings", "default_transaction_read_only",
    "in_hot_standby",
  ]

  private static let defaults: [String: String] = [
    "server_version": serverVersion, "server_version_num": serverVersionNumber, "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "application_name": "", "is_superuser": "off", "session_authorization": "quire", "datestyle": "ISO, MDY",
    "intervalstyle": "postgres", "timezone": "UTC", "integer_datetimes": "on", "standard_conforming_strings": "on",
    "default_transaction_read_only": "on", "transaction_read_only": "on", "in_hot_standby": "off", "search_path": "public",
    "transaction_isolation": "repeatable read", "default_transaction_isolation": "repeatable read", "statement_timeout": "0",
    "lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "extra_float_digits": "1",
    "bytea_output": "hex", "client_min_messages": "notice", "max_identifier_length": "249", "max_index_keys": "32",
    "row_security": "on",
    "jit": "off", "synchronous_commit": "on", "work_mem": "8MB", "lc_collate": "C", "lc_ctype": "C", "lc_messages": "C",
    "lc_monetary": "C", "lc_numeric": "C", "lc_time": "C", "default_tablespace": "", "xmloption": "content",
    "escape_string_warning": "on",
    "backslash_quote": "safe_encoding", "array_nulls": "on", "max_connections": "100", "geqo": "on",
    "transaction_deferrable": "off", "default_transaction_deferrable": "off", "session_replication_role": "origin",
    "default_with_oids": "off", "password_encryption": "scram-sha-256", "constraint_exclusion": "partition",
    "synchronize_seqscans": "on", "check_function_bodies": "on", "block_size": "8192", "tcp_user_timeout": "0",
    "tcp_keepalives_idle": "0", "enable_seqscan": "on", "enable_hashjoin": "on", "enable_mergejoin": "on",
    "enable_nestloop": "on",
    "random_page_cost": "4", "effective_cache_size": "4GB", "default_table_access_method": "heap", "temp_buffers": "8MB",
    "maintenance_work_mem": "64MB", "gin_fuzzy_search_limit": "0",
    "log_statement": "none", "log_min_duration_statement": "-1", "plan_cache_mode": "auto",
    "max_parallel_workers_per_gather": "0",
    "force_parallel_mode": "off", "track_activities": "on", "vacuum_cost_delay": "0",
  ]
  /// Settings with one value only.
  private static let fixed: [String: Set<String>] = [
    "client_encoding": ["utf8", "utf-8", "unicode", "sql_ascii"], "standard_conforming_strings": ["on", "true", "1", "yes"],
    "bytea_output": ["hex"], "transaction_read_only": ["on", "true", "1"],
    "default_transaction_read_only": ["on", "true", "1", "off", "false", "0"],
  ]
  private static let readOnly: Set<String> = [
    "server_version", "server_version_num", "server_encoding", "is_superuser", "integer_datetimes", "in_hot_standby",
    "max_identifier_length", "lc_collate", "lc_ctype", "max_connections", "block_size", "max_index_keys",
  ]
  /// Accepted, and without effect: times are always written in UTC, with their offset, in ISO's order.
  private static let kept: Set<String> = [
    "timezone", "datestyle", "intervalstyle", "client_encoding", "default_transaction_read_only", "transaction_isolation",
    "default_transaction_isolation",
  ]

  private var values: [String: String] = [:]
  private var startup: [String: String] = [:]
  var user: String { values["session_authorization"] ?? startup["session_authorization"] ?? "quire" }

  /// - Parameter parameters: of the start-up packet.
  init(startup parameters: [String: String]) throws(PostgresError) {
    for (name, value) in parameters {
      switch name {
      case "user": startup["session_authorization"] = value
      case "database", "replication": break
      case "options":
        for (name, value) in Self.options(value) { try set(name, value) }
      default:
        if !name.hasPrefix("_pq_.") { try set(name, value) }
      }
    }
    startup.merge(values) { $1 }
    values = [:]
  }

  /// `-c name=value`, as the environment variable PGOPTIONS has it.
  private static func options(_ text: String) -> [(String, String)] {
    var options: [(String, String)] = []
    let words = text.split(separator: " ").map(String.init)
    for (index, word) in words.enumerated() {
      let setting =
        word == "-c"
        ? (index + 1 < words.count ? words[index + 1] : "")
        : word.hasPrefix("-c") ? String(word.dropFirst(2)) : word.hasPrefix("--") ? String(word.dropFirst(2)) : ""
      let parts = setting.split(separator: "=", maxSplits: 1).map(String.init)
      if parts.count == 2 { options.append((parts[0], parts[1])) }
    }
    return options
  }

  func value(_ name: String) -> String? {
    let name = name.lowercased()
    return values[name] ?? startup[name] ?? Self.defaults[name]
  }

  var all: [(name: String, value: String)] {
    let names = Set(Self.defaults.keys).union(values.keys).union(startup.keys)
    return names.sorted().map { ($0, value($0) ?? "") }
  }

  /// - Returns: whether it was one that clients are told of.
  @discardableResult
  mutating func set(_ name: String, _ value: String?) throws(PostgresError) -> Bool {
    let lowered = name.lowercased()
    guard Self.defaults[lowered] != nil || lowered.contains(".") else {
      throw PostgresError(.undefinedObject, "unrecognized configuration parameter \"\(name)\"")
    }
    if Self.readOnly.contains(lowered) {
      throw PostgresError(SQLState("55P02"), "parameter \"\(name)\" cannot be changed")
    }
    guard var value else {
      values[lowered] = nil
      return isReported(lowered)
    }
    // Some clients send the quotes along.
    if value.count >= 2, value.hasPrefix("'"), value.hasSuffix("'") { value = String(value.dropFirst().dropLast()) }
    if let possible = Self.fixed[lowered], !possible.contains(value.lowercased()) {
      throw PostgresError(
        .invalidParameterValue, "invalid value for parameter \"\(name)\": \"\(value)\"",
        hint: "This server has it at \(Self.defaults[lowered] ?? "").")
    }
    if lowered == "statement_timeout", Self.milliseconds(value) == nil {
      throw PostgresError(.invalidParameterValue, "invalid value for parameter \"statement_timeout\": \"\(value)\"")
    }
    if Self.kept.contains(lowered) { return false }
    guard value.utf8.count <= 1024, values.count < 200 || values[lowered] != nil else {
      throw PostgresError(.programLimit, "the settings of a session have a limit")
    }
    values[lowered] = value
    return isReported(lowered)
  }

  private func isReported(_ lowered: String) -> Bool { Self.reported.contains { $0.lowercased() == lowered } }

  mutating func resetAll() { values = [:] }

  /// Nil: no bound but the node's.
  var statementTimeout: Duration? {
    guard let text = value("statement_timeout"), let milliseconds = Self.milliseconds(text), milliseconds > 0 else {
      return nil
    }
    return .milliseconds(milliseconds)
  }

  private static func milliseconds(_ text: String) -> Int64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let factors: [String: Int64] = ["": 1, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000]
    guard let number = Int64(digits), number <= Int64(Int32.max),
      let factor = factors[text.dropFirst(digits.count).trimmingPrefix(while: \.isWhitespace).description]
    else { return nil }
    return number * factor
  }
}
