import Query

/// The rows of the catalogues. One that is not here is empty, because there is nothing of its kind: no indexes, no constraints, no
/// triggers.
extension PostgresCatalog {
  typealias Values = [String: SQLParameter]

  static let contents: [String: @Sendable (CatalogContext) -> [Values]] = [
    "pg_namespace": { _ in
      [(Number.pgCatalog, "pg_catalog"), (Number.publicSchema, "public"), (Number.informationSchema, "information_schema")].map
      {
        ["oid": .integer($0.0), "nspname": .text($0.1), "nspowner": .integer(Number.owner)]
      }
    },
    "pg_class": { context in
      context.relations.all.map { relation in
        [
          "oid": .integer(relation.oid), "relname": .text(relation.name), "relnamespace": .integer(relation.namespace),
          "relowner": .integer(Number.owner), "relam": .integer(Number.heap), "reltuples": .real(-1),
          "relpersistence": .text("p"), "relkind": .text(relation.kind), "relnatts": .integer(Int64(relation.columns.count)),
          "relreplident": .text("d"), "relispopulated": .integer(1), "relfilenode": .integer(relation.oid),
        ]
      }
    },
    "pg_attribute": { context in
      context.relations.all.flatMap { relation in
        relation.columns.enumerated().map { index, column in
          [
            "attrelid": .integer(relation.oid), "attname": .text(column.name), "atttypid": .integer(Int64(column.type.oid)),
            "attstattarget": .integer(-1), "attlen": .integer(Int64(column.type.size)), "attnum": .integer(Int64(index + 1)),
            "attcacheoff": .integer(-1), "atttypmod": .integer(-1), "attalign": .text("i"), "attstorage": .text("x"),
            "attnotnull": .integer(column.isNotNull ? 1 : 0), "attislocal": .integer(1),
            "attcollation": .integer(column.type.category == "S" ? Number.defaultCollation : 0),
          ]
        }
      }
    },
    "pg_type": { _ in PostgresType.allCases.map(typeRow) },
    "pg_database": { context in
      [
        [
          "oid": .integer(Number.database), "datname": .text(PostgresSettings.database), "datdba": .integer(Number.owner),
          "encoding": .integer(6), "datlocprovider": .text("c"), "datallowconn": .integer(1), "datconnlimit": .integer(-1),
          "dattablespace": .integer(Number.tablespace), "datcollate": .text("C"), "datctype": .text("C"),
        ]
      ]
    },
    "pg_roles": { context in [role(context)] },
    "pg_user": { context in
      [
        [
          "usename": .text(context.settings.user), "usesysid": .integer(Number.owner), "passwd": .text("********"),
        ]
      ]
    },
    "pg_settings": { context in
      context.settings.all.map { setting in
        [
          "name": .text(setting.name), "setting": .text(setting.value), "category": .text("Quire"), "short_desc": .text(""),
          "context": .text("user"), "vartype": .text("string"), "source": .text("default"), "boot_val": .text(setting.value),
          "reset_val": .text(setting.value),
        ]
      }
    },
    "pg_am": { _ in
      [
        ["oid": .integer(Number.heap), "amname": .text("heap"), "amtype": .text("t")],
        ["oid": .integer(403), "amname": .text("btree"), "amtype": .text("i")],
      ]
    },
    "pg_collation": { _ in
      [(100, "default"), (950, "C"), (951, "POSIX")].map {
        [
          "oid": .integer($0.0), "collname": .text($0.1), "collnamespace": .integer(Number.pgCatalog),
          "collowner": .integer(Number.owner), "collprovider": .text($0.0 == 100 ? "d" : "c"),
          "collisdeterministic": .integer(1),
          "collencoding": .integer(-1),
        ]
      }
    },
    "pg_tablespace": { _ in
      [["oid": .integer(Number.tablespace), "spcname": .text("pg_default"), "spcowner": .integer(Number.owner)]]
    },
    "pg_language": { _ in
      [["oid": .integer(14), "lanname": .text("sql"), "lanowner": .integer(Number.owner), "lanpltrusted": .integer(1)]]
    },
    "pg_tables": { context in
      context.relations.all.filter { $0.kind == "r" }.map { relation in
        [
          "schemaname": .text(relation.schema), "tablename": .text(relation.name), "tableowner": .text(context.settings.user),
          "hasindexes": .integer(0), "hasrules": .integer(0), "hastriggers": .integer(0), "rowsecurity": .integer(0),
        ]
      }
    },
    "pg_views": { context in
      context.relations.all.filter { $0.kind == "v" }.map { relation in
        ["schemaname": .text(relation.schema), "viewname": .text(relation.name), "viewowner": .text(context.settings.user)]
      }
    },
    "pg_stat_user_tables": { context in
      context.relations.all.filter(\.isTopic).map { relation in
        ["relid": .integer(relation.oid), "schemaname": .text("public"), "relname": .text(relation.name)]
      }
    },
    "pg_stat_activity": { context in
      [
        [
          "datid": .integer(Number.database), "datname": .text(PostgresSettings.database),
          "pid": .integer(Int64(context.identity.processID)), "usesysid": .integer(Number.owner),
          "usename": .text(context.settings.user), "state": .text("active"), "backend_type": .text("client backend"),
          "application_name": .text(context.settings.value("application_name") ?? ""),
        ]
      ]
    },
    "pg_cursors": { context in context.cursors.map { ["name": .text($0), "statement": .text("")] } },
    "pg_prepared_statements": { context in context.statements.map { ["name": .text($0), "statement": .text("")] } },
    "information_schema.schemata": { context in
      ["pg_catalog", "public", "information_schema"].map {
        [
          "catalog_name": .text(PostgresSettings.database), "schema_name": .text($0),
          "schema_owner": .text(context.settings.user),
        ]
      }
    },
    "information_schema.tables": { context in
      context.relations.all.map { relation in
        [
          "table_catalog": .text(PostgresSettings.database), "table_schema": .text(relation.schema),
          "table_name": .text(relation.name), "table_type": .text(relation.kind == "r" ? "BASE TABLE" : "VIEW"),
          "is_insertable_into": .text("NO"), "is_typed": .text("NO"),
        ]
      }
    },
    "information_schema.views": { context in
      context.relations.all.filter { $0.kind == "v" }.map { relation in
        [
          "table_catalog": .text(PostgresSettings.database), "table_schema": .text(relation.schema),
          "table_name": .text(relation.name), "check_option": .text("NONE"), "is_updatable": .text("NO"),
          "is_insertable_into": .text("NO"),
        ]
      }
    },
    "information_schema.columns": { context in
      context.relations.all.flatMap { relation in
        relation.columns.enumerated().map { index, column in informationColumn(relation, index, column) }
      }
    },
  ]

  private static func role(_ context: CatalogContext) -> Values {
    [
      "oid": .integer(Number.owner), "rolname": .text(context.settings.user), "rolsuper": .integer(0),
      "rolinherit": .integer(1),
      "rolcanlogin": .integer(1), "rolconnlimit": .integer(-1), "rolpassword": .text("********"),
    ]
  }

  private static func typeRow(_ type: PostgresType) -> Values {
    let name = type.catalogName
    let isArray = type.element != nil
    let separates = ["timestamptz", "timestamp", "date", "time", "interval", "numeric", "json", "jsonb", "uuid"].contains(name)
    func function(_ suffix: String) -> SQLParameter {
      .text(name.hasPrefix("_") ? "array_\(suffix)" : name + (separates ? "_" : "") + suffix)
    }
    let isPreferred = [PostgresType.bool, .text, .float8, .oid, .timestamptz, .interval].contains(type)
    return [
      "oid": .integer(Int64(type.oid)), "typname": .text(name), "typnamespace": .integer(Number.pgCatalog),
      "typowner": .integer(Number.owner), "typlen": .integer(Int64(type.size)),
      "typbyval": .integer(type.size > 0 && type.size <= 8 ? 1 : 0), "typtype": .text(type == .unknown ? "p" : "b"),
      "typcategory": .text(String(type.category)), "typispreferred": .integer(isPreferred ? 1 : 0), "typisdefined": .integer(1),
      "typdelim": .text(","), "typelem": .integer(Int64(isArray ? type.element?.oid ?? 0 : type == .name ? 18 : 0)),
      "typarray": .integer(Int64(type.array?.oid ?? 0)), "typinput": function("in"), "typoutput": function("out"),
      "typreceive": function("recv"), "typsend": function("send"), "typmodin": .text("-"), "typmodout": .text("-"),
      "typanalyze": .text("-"), "typsubscript": .text(isArray ? "array_subscript_handler" : "-"), "typalign": .text("i"),
      "typstorage": .text(type.size > 0 ? "p" : "x"), "typtypmod": .integer(-1),
      "typcollation": .integer(type.category == "S" ? Number.defaultCollation : 0),
    ]
  }

  private static func informationColumn(
    _ relation: CatalogRelations.Relation, _ index: Int, _ column: CatalogRelations.Relation.Column
  ) -> Values {
    var values: Values = [
      "table_catalog": .text(PostgresSettings.database), "table_schema": .text(relation.schema),
      "table_name": .text(relation.name),
      "column_name": .text(column.name), "ordinal_position": .integer(Int64(index + 1)),
      "is_nullable": .text(column.isNotNull ? "NO" : "YES"),
      "data_type": .text(column.type.element == nil ? column.type.sqlName : "ARRAY"),
      "udt_catalog": .text(PostgresSettings.database),
      "udt_schema": .text("pg_catalog"), "udt_name": .text(column.type.catalogName), "dtd_identifier": .text(String(index + 1)),
      "is_self_referencing": .text("NO"), "is_identity": .text("NO"), "identity_cycle": .text("NO"),
      "is_generated": .text("NEVER"),
      "is_updatable": .text("NO"),
    ]
    for name in [
      "character_maximum_length", "character_octet_length", "numeric_precision", "numeric_precision_radix", "numeric_scale",
      "datetime_precision", "interval_precision", "maximum_cardinality",
    ] { values[name] = .null }
    switch column.type {
    case .int2, .int4, .int8:
      values["numeric_precision"] = .integer(Int64(column.type.size) * 8)
      values["numeric_precision_radix"] = .integer(2)
      values["numeric_scale"] = .integer(0)
    case .timestamptz: values["datetime_precision"] = .integer(6)
    default: break
    }
    return values
  }
}
