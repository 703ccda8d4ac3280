import Query

/// Functions about the server, the session and the catalogues.
enum CatalogFunctions {
  static func all(
    _ relations: CatalogRelations, settings: PostgresSettings, identity: PostgresIdentity
  ) -> [RowFunction] {
    session(settings, identity) + names(relations) + nothing
  }

  private static func constant(_ name: String, _ value: SQLParameter, argumentCount: Int? = 0) -> RowFunction {
    RowFunction(name, argumentCount: argumentCount) { _ in value }
  }

  private static func session(_ settings: PostgresSettings, _ identity: PostgresIdentity) -> [RowFunction] {
    let user = SQLParameter.text(settings.user)
    return [
      constant("version", .text("PostgreSQL \(PostgresSettings.serverVersion) (Quire)")),
      constant("current_schema", .text("public")), constant("current_database", .text(PostgresSettings.database)),
      constant("current_user", user), constant("session_user", user),
      constant("pg_backend_pid", .integer(Int64(identity.processID))),
      constant("pg_get_userbyid", user, argumentCount: 1), constant("pg_is_in_recovery", .integer(0)),
      constant("pg_my_temp_schema", .integer(0)),
      constant("txid_current", .integer(1)), constant("inet_server_port", .null), constant("inet_server_addr", .null),
      constant("inet_client_addr", .null), constant("inet_client_port", .null),
      constant("pg_postmaster_start_time", PostgresFunctions.result(PostgresTime.now())),
      RowFunction("current_schemas", argumentCount: 1) { values in
        .text(values[0] == .integer(1) ? "{pg_catalog,public}" : "{public}")
      },
      RowFunction("current_setting", argumentCount: nil) { (values) throws(RowFunction.Failure) in
        guard let name = values.first.flatMap(PostgresFunctions.text) else { return .null }
        if let value = settings.value(name) { return .text(value) }
        if values.count > 1, values[1] == .integer(1) { return .null }
        throw RowFunction.Failure("unrecognized configuration parameter \"\(name)\"")
      },
      RowFunction("set_config", argumentCount: 3) { values in values[1] },
    ]
  }

  private static func names(_ relations: CatalogRelations) -> [RowFunction] {
    typealias Number = PostgresCatalog.Number
    @Sendable func schemaNumber(_ name: String) -> Int64? {
      ["pg_catalog": Number.pgCatalog, "public": Number.publicSchema, "information_schema": Number.informationSchema][name]
    }
    return [
      RowFunction("format_type", argumentCount: 2) { values in
        guard let oid = PostgresFunctions.number(values[0]) else { return .null }
        return .text(UInt32(exactly: oid).flatMap(PostgresType.init(rawValue:))?.sqlName ?? "???")
      },
      RowFunction("pg_regclass", argumentCount: 1) { (values) throws(RowFunction.Failure) in
        switch values[0] {
        case .integer(let oid): return .text(relations.relation(oid).map { name(of: $0) } ?? String(oid))
        case .text(let text):
          if let oid = Int64(text) { return .integer(oid) }
          guard let relation = relations.relation(named: text) else {
            throw RowFunction.Failure("relation \"\(text)\" does not exist")
          }
          return .integer(relation.oid)
        default: return .null
        }
      },
      RowFunction("to_regclass", argumentCount: 1) { values in
        PostgresFunctions.text(values[0]).flatMap { relations.relation(named: $0) }.map { .integer($0.oid) } ?? .null
      },
      RowFunction("pg_regtype", argumentCount: 1) { (values) throws(RowFunction.Failure) in
        switch values[0] {
        case .integer(let oid): return .text(UInt32(exactly: oid).flatMap(PostgresType.init(rawValue:))?.sqlName ?? String(oid))
        case .text(let text):
          guard let type = type(named: text) else { throw RowFunction.Failure("type \"\(text)\" does not exist") }
          return .integer(Int64(type.oid))
        default: return .null
        }
      },
      RowFunction("to_regtype", argumentCount: 1) { values in
        PostgresFunctions.text(values[0]).flatMap(type(named:)).map { .integer(Int64($0.oid)) } ?? .null
      },
      RowFunction("pg_regnamespace", argumentCount: 1) { (values) throws(RowFunction.Failure) in
        switch values[0] {
        case .integer(let oid): return .text(PostgresCatalog.schemaName(oid))
        case .text(let text):
          guard let number = schemaNumber(text) else { throw RowFunction.Failure("schema \"\(text)\" does not exist") }
          return .integer(number)
        default: return .null
        }
      },
      RowFunction("pg_regrole", argumentCount: 1) { values in values[0] == .null ? .null : .integer(Number.owner) },
      RowFunction("pg_regproc", argumentCount: 1) { values in values[0] },
      RowFunction("pg_regprocedure", argumentCount: 1) { values in values[0] },
      RowFunction("pg_regoper", argumentCount: 1) { values in values[0] },
      RowFunction("pg_table_is_visible", argumentCount: 1) { values in
        guard let oid = PostgresFunctions.number(values[0]), let relation = relations.relation(oid) else { return .integer(0) }
        return .integer(relation.namespace == Number.informationSchema ? 0 : 1)
      },
    ]
  }

  /// As a person would write it: with its schema only where it is not found without.
  private static func name(of relation: CatalogRelations.Relation) -> String {
    let isWord = relation.name.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5F }
    let name = isWord ? relation.name : SQLTranslator.quoted(relation.name)
    return relation.namespace == PostgresCatalog.Number.informationSchema ? "information_schema.\(name)" : name
  }

  private static func type(named text: String) -> PostgresType? {
    let text = text.lowercased()
    return PostgresType(named: text.hasPrefix("pg_catalog.") ? String(text.dropFirst(11)) : text)
  }

  /// Functions about things that there are none of, or that are as they are for everybody.
  private static let nothing: [RowFunction] =
    [
      ("obj_description", nil), ("col_description", 2), ("shobj_description", 2), ("pg_get_expr", nil),
      ("pg_get_indexdef", nil),
      ("pg_get_constraintdef", nil), ("pg_get_viewdef", nil), ("pg_get_ruledef", nil), ("pg_get_triggerdef", nil),
      ("pg_get_partkeydef", 1), ("pg_get_statisticsobjdef_columns", 1), ("pg_get_function_result", 1),
      ("pg_get_function_arguments", 1), ("pg_get_function_identity_arguments", 1), ("pg_get_functiondef", 1),
      ("pg_get_function_sqlbody", 1),
      ("pg_get_serial_sequence", 2), ("pg_tablespace_location", 1),
    ].map { constant($0.0, .null, argumentCount: $0.1) }
    + [
      "pg_type_is_visible", "pg_function_is_visible", "pg_collation_is_visible", "pg_opclass_is_visible",
      "pg_operator_is_visible",
    ].map { constant($0, .integer(1), argumentCount: 1) }
    + [
      "has_table_privilege", "has_schema_privilege", "has_database_privilege", "has_column_privilege",
      "has_any_column_privilege",
      "has_function_privilege", "has_sequence_privilege", "has_tablespace_privilege", "pg_has_role",
    ].map { constant($0, .integer(1), argumentCount: nil) }
    + [
      constant("pg_relation_is_publishable", .integer(0), argumentCount: 1),
      constant("pg_is_other_temp_schema", .integer(0), argumentCount: 1),
      constant("getdatabaseencoding", .text("UTF8")),
      constant("pg_encoding_to_char", .text("UTF8"), argumentCount: 1),
      constant("pg_char_to_encoding", .integer(6), argumentCount: 1),
      constant("pg_table_size", .integer(0), argumentCount: nil), constant("pg_relation_size", .integer(0), argumentCount: nil),
      constant("pg_total_relation_size", .integer(0), argumentCount: nil),
      constant("pg_database_size", .integer(0), argumentCount: nil),
      constant("pg_size_pretty", .text("0 bytes"), argumentCount: 1), constant("pg_advisory_unlock_all", .null),
      constant("pg_advisory_lock", .null, argumentCount: nil), constant("pg_advisory_unlock", .integer(1), argumentCount: nil),
      constant("pg_stat_get_numscans", .integer(0), argumentCount: 1),
    ]
}
