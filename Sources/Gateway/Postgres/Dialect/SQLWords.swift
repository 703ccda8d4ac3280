/// Words that mean something to the translation.
enum SQLWords {
  /// Words that are no names where an expression may stand.
  static let reserved: Set<String> = [
    "select", "from", "where", "group", "by", "having", "order", "limit", "union", "intersect", "except", "and", "or", "not",
    "in",
    "is", "like", "ilike", "glob", "regexp", "match", "between", "case", "when", "then", "else", "end", "as", "on", "using",
    "join",
    "inner", "left", "right", "full", "outer", "cross", "natural", "distinct", "all", "with", "recursive", "values", "over",
    "filter", "window", "asc", "desc", "collate", "escape", "any", "some", "array", "interval", "cast", "exists", "similar",
    "isnull", "notnull", "lateral", "fetch", "materialized", "indexed", "nulls",
  ]
  /// Words behind which a select list or a clause of its level ends.
  static let clauses: Set<String> = [
    "from", "where", "group", "having", "window", "order", "limit", "union", "intersect", "except", "fetch", "into",
  ]
  /// Functions that give rows of one value where a table may stand.
  static let tableFunctions: Set<String> = ["unnest", "generate_series"]
  /// Functions of one value, which may stand there too and give one row.
  static let valueFunctions: Set<String> = Set(functionTypes.keys).union(["string_to_array", "parse_ident", "array_to_string"])

  /// Whether tables are named behind `word`.
  static func isInFrom(after word: String, was: Bool) -> Bool {
    if word == "from" || word == "join" { return true }
    if word == "on" || word == "select" || clauses.contains(word) { return false }
    return was
  }
  static let comparisons: Set<String> = ["=", "==", "<>", "!=", "<", ">", "<=", ">="]
  static let arithmetic: Set<String> = ["+", "-", "*", "/", "%"]
  /// Functions of Postgres that are written without parentheses.
  static let bareFunctions: [String: String] = [
    "current_schema": "current_schema()", "current_user": "current_user()", "session_user": "session_user()",
    "current_role": "current_user()", "current_catalog": "current_database()", "current_timestamp": "now()",
    "localtimestamp": "now()",
  ]
  static let matching: [String: String] = [
    "~": "REGEXP", "!~": "NOT REGEXP", "~*": "REGEXP '(?i)' ||", "!~*": "NOT REGEXP '(?i)' ||", "~~": "LIKE", "!~~": "NOT LIKE",
    "~~*": "LIKE", "!~~*": "NOT LIKE",
  ]
  static let keptCollations: Set<String> = ["binary", "nocase", "rtrim"]

  /// Functions that SQLite has under another name.
  static let renamed: [String: String] = [
    "string_agg": "group_concat", "char_length": "length", "character_length": "length", "strpos": "instr", "btrim": "trim",
    "every": "min", "bool_and": "min", "bool_or": "max", "json_build_object": "json_object",
    "jsonb_build_object": "json_object",
    "json_build_array": "json_array", "jsonb_build_array": "json_array", "json_agg": "json_group_array",
    "jsonb_agg": "json_group_array", "json_object_agg": "json_group_object", "jsonb_object_agg": "json_group_object",
    "chr": "char", "ascii": "unicode", "left": "pg_left", "right": "pg_right",
  ]

  /// What functions give, by the names that clients use.
  static let functionTypes: [String: PostgresType] = {
    var types: [String: PostgresType] = [:]
    func add(_ type: PostgresType, _ names: String) { for name in names.split(separator: " ") { types[String(name)] = type } }
    add(
      .text,
      """
      lower upper trim ltrim rtrim btrim replace substr substring concat concat_ws version to_char json_type typeof hex quote printf \
      format group_concat string_agg chr char left right lpad rpad initcap reverse split_part strftime date time datetime \
      pg_get_userbyid format_type obj_description col_description shobj_description pg_get_expr pg_get_indexdef pg_get_constraintdef \
      pg_get_viewdef pg_encoding_to_char array_to_string current_setting set_config pg_size_pretty quote_ident quote_literal
      """)
    add(.name, "current_schema current_database current_catalog current_user session_user current_role")
    add(.nameArray, "current_schemas")
    add(.textArray, "array_agg string_to_array parse_ident")
    add(
      .int8,
      """
      count length char_length character_length octet_length instr strpos position unicode ascii row_number rank dense_rank ntile \
      json_array_length unixepoch pg_backend_pid txid_current pg_table_size pg_total_relation_size pg_relation_size changes \
      pg_database_size array_length array_upper array_lower cardinality
      """)
    add(.float8, "avg total date_part extract julianday percent_rank cume_dist sqrt exp ln pi power pow sin cos tan")
    add(
      .bool,
      """
      pg_table_is_visible pg_type_is_visible pg_function_is_visible has_table_privilege has_schema_privilege \
      has_database_privilege has_column_privilege has_any_column_privilege pg_is_in_recovery starts_with bool_and bool_or every \
      pg_is_other_temp_schema pg_relation_is_publishable pg_advisory_unlock exists
      """)
    add(
      .timestamptz,
      """
      now date_trunc to_timestamp transaction_timestamp statement_timestamp clock_timestamp date_bin pg_postmaster_start_time \
      current_timestamp localtimestamp
      """)
    add(
      .json,
      """
      json json_object json_array json_group_array json_group_object json_build_object json_build_array json_agg json_object_agg \
      jsonb_build_object jsonb_agg json_set json_insert json_replace json_patch json_remove to_json to_jsonb
      """)
    return types
  }()

  /// Functions whose value is of their first argument's type.
  static let transparent: Set<String> = [
    "min", "max", "coalesce", "nullif", "ifnull", "first_value", "last_value", "nth_value", "lag", "lead", "greatest", "least",
  ]
}
