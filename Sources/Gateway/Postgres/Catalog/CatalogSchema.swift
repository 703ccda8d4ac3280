/// The columns of the catalogues, as clients know them from Postgres 15: names in their order, each with a letter for its type.
enum CatalogSchema {
  static let letters: [Character: PostgresType] = [
    "o": .oid, "n": .name, "i": .int4, "s": .int2, "b": .bool, "c": .char, "t": .text, "f": .float4, "p": .regproc,
    "z": .timestamptz, "T": .textArray, "A": .aclitemArray, "l": .int8, "d": .float8, "v": .int2vector, "O": .oidvector,
    "R": .oidArray, "S": .int2Array, "C": .charArray, "N": .nameArray, "F": .float4Array,
  ]

  /// By name; those of information_schema have that in front.
  static let tables: [(name: String, columns: String)] = [
    ("pg_cursors", "name:t statement:t is_holdable:b is_binary:b is_scrollable:b creation_time:z"),
    ("pg_prepared_statements", "name:t statement:t prepare_time:z parameter_types:t from_sql:b"),
    (
      "pg_class",
      """
      oid:o relname:n relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o reltablespace:o relpages:i \
      reltuples:f relallvisible:i reltoastrelid:o relhasindex:b relisshared:b relpersistence:c relkind:c relnatts:s \
      relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b relforcerowsecurity:b relispopulated:b \
      relreplident:c relispartition:b relrewrite:o relfrozenxid:t relminmxid:t relacl:A reloptions:T relpartbound:t
      """
    ),
    (
      "pg_namespace",
      """
      oid:o nspname:n nspowner:o nspacl:A
      """
    ),
    (
      "pg_attribute",
      """
      attrelid:o attname:n atttypid:o attstattarget:i attlen:s attnum:s attndims:i attcacheoff:i atttypmod:i attbyval:b \
      attalign:c attstorage:c attcompression:c attnotnull:b atthasdef:b atthasmissing:b attidentity:c attgenerated:c \
      attisdropped:b attislocal:b attinhcount:i attcollation:o attacl:A attoptions:T attfdwoptions:T attmissingval:t
      """
    ),
    (
      "pg_type",
      """
      oid:o typname:n typnamespace:o typowner:o typlen:s typbyval:b typtype:c typcategory:c typispreferred:b typisdefined:b \
      typdelim:c typrelid:o typsubscript:p typelem:o typarray:o typinput:p typoutput:p typreceive:p typsend:p typmodin:p \
      typmodout:p typanalyze:p typalign:c typstorage:c typnotnull:b typbasetype:o typtypmod:i typndims:i typcollation:o \
      typdefaultbin:t typdefault:t typacl:A
      """
    ),
    (
      "pg_index",
      """
      indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indnullsnotdistinct:b indisprimary:b indisexclusion:b \
      indimmediate:b indisclustered:b indisvalid:b indcheckxmin:b indisready:b indislive:b indisreplident:b indkey:v \
      indcollation:O indclass:O indoption:v indexprs:t indpred:t
      """
    ),
    (
      "pg_constraint",
      """
      oid:o conname:n connamespace:o contype:c condeferrable:b condeferred:b convalidated:b conrelid:o contypid:o conindid:o \
      conparentid:o confrelid:o confupdtype:c confdeltype:c confmatchtype:c conislocal:b coninhcount:i connoinherit:b \
      conkey:S confkey:S conpfeqop:R conppeqop:R conffeqop:R confdelsetcols:S conexclop:R conbin:t
      """
    ),
    (
      "pg_description",
      """
      objoid:o classoid:o objsubid:i description:t
      """
    ),
    (
      "pg_proc",
      """
      oid:o proname:n pronamespace:o proowner:o prolang:o procost:f prorows:f provariadic:o prosupport:p prokind:c \
      prosecdef:b proleakproof:b proisstrict:b proretset:b provolatile:c proparallel:c pronargs:s pronargdefaults:s \
      prorettype:o proargtypes:O proallargtypes:R proargmodes:C proargnames:T proargdefaults:t protrftypes:R prosrc:t \
      probin:t prosqlbody:t proconfig:T proacl:A
      """
    ),
    (
      "pg_database",
      """
      oid:o datname:n datdba:o encoding:i datlocprovider:c datistemplate:b datallowconn:b datconnlimit:i datfrozenxid:t \
      datminmxid:t dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:A
      """
    ),
    (
      "pg_roles",
      """
      rolname:n rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b rolreplication:b rolconnlimit:i \
      rolpassword:t rolvaliduntil:z rolbypassrls:b rolconfig:T oid:o
      """
    ),
    (
      "pg_settings",
      """
      name:t setting:t unit:t category:t short_desc:t extra_desc:t context:t vartype:t source:t min_val:t max_val:t \
      enumvals:T boot_val:t reset_val:t sourcefile:t sourceline:i pending_restart:b
      """
    ),
    (
      "pg_am",
      """
      oid:o amname:n amhandler:p amtype:c
      """
    ),
    (
      "pg_attrdef",
      """
      oid:o adrelid:o adnum:s adbin:t
      """
    ),
    (
      "pg_collation",
      """
      oid:o collname:n collnamespace:o collowner:o collprovider:c collisdeterministic:b collencoding:i collcollate:t \
      collctype:t colliculocale:t collversion:t
      """
    ),
    (
      "pg_inherits",
      """
      inhrelid:o inhparent:o inhseqno:i inhdetachpending:b
      """
    ),
    (
      "pg_enum",
      """
      oid:o enumtypid:o enumsortorder:f enumlabel:n
      """
    ),
    (
      "pg_range",
      """
      rngtypid:o rngsubtype:o rngmultitypid:o rngcollation:o rngsubopc:o rngcanonical:p rngsubdiff:p
      """
    ),
    (
      "pg_tables",
      """
      schemaname:n tablename:n tableowner:n tablespace:n hasindexes:b hasrules:b hastriggers:b rowsecurity:b
      """
    ),
    (
      "pg_views",
      """
      schemaname:n viewname:n viewowner:n definition:t
      """
    ),
    (
      "pg_user",
      """
      usename:n usesysid:o usecreatedb:b usesuper:b userepl:b usebypassrls:b passwd:t valuntil:z useconfig:T
      """
    ),
    (
      "pg_extension",
      """
      oid:o extname:n extowner:o extnamespace:o extrelocatable:b extversion:t extconfig:R extcondition:T
      """
    ),
    (
      "pg_trigger",
      """
      oid:o tgrelid:o tgparentid:o tgname:n tgfoid:o tgtype:s tgenabled:c tgisinternal:b tgconstrrelid:o tgconstrindid:o \
      tgconstraint:o tgdeferrable:b tginitdeferred:b tgnargs:s tgattr:v tgargs:t tgqual:t tgoldtable:n tgnewtable:n
      """
    ),
    (
      "pg_policy",
      """
      oid:o polname:n polrelid:o polcmd:c polpermissive:b polroles:R polqual:t polwithcheck:t
      """
    ),
    (
      "pg_rewrite",
      """
      oid:o rulename:n ev_class:o ev_type:c ev_enabled:c is_instead:b ev_qual:t ev_action:t
      """
    ),
    (
      "pg_sequence",
      """
      seqrelid:o seqtypid:o seqstart:l seqincrement:l seqmax:l seqmin:l seqcache:l seqcycle:b
      """
    ),
    (
      "pg_tablespace",
      """
      oid:o spcname:n spcowner:o spcacl:A spcoptions:T
      """
    ),
    (
      "pg_matviews",
      """
      schemaname:n matviewname:n matviewowner:n tablespace:n hasindexes:b ispopulated:b definition:t
      """
    ),
    (
      "pg_indexes",
      """
      schemaname:n tablename:n indexname:n tablespace:n indexdef:t
      """
    ),
    (
      "pg_depend",
      """
      classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:c
      """
    ),
    (
      "pg_shdescription",
      """
      objoid:o classoid:o description:t
      """
    ),
    (
      "pg_language",
      """
      oid:o lanname:n lanowner:o lanispl:b lanpltrusted:b lanplcallfoid:o laninline:o lanvalidator:o lanacl:A
      """
    ),
    (
      "pg_opclass",
      """
      oid:o opcmethod:o opcname:n opcnamespace:o opcowner:o opcfamily:o opcintype:o opcdefault:b opckeytype:o
      """
    ),
    (
      "pg_operator",
      """
      oid:o oprname:n oprnamespace:o oprowner:o oprkind:c oprcanmerge:b oprcanhash:b oprleft:o oprright:o oprresult:o \
      oprcom:o oprnegate:o oprcode:p oprrest:p oprjoin:p
      """
    ),
    (
      "pg_foreign_table",
      """
      ftrelid:o ftserver:o ftoptions:T
      """
    ),
    (
      "pg_foreign_server",
      """
      oid:o srvname:n srvowner:o srvfdw:o srvtype:t srvversion:t srvacl:A srvoptions:T
      """
    ),
    (
      "pg_partitioned_table",
      """
      partrelid:o partstrat:c partnatts:s partdefid:o partattrs:v partclass:O partcollation:O partexprs:t
      """
    ),
    (
      "pg_statistic_ext",
      """
      oid:o stxrelid:o stxname:n stxnamespace:o stxowner:o stxstattarget:i stxkeys:v stxkind:C stxexprs:t
      """
    ),
    (
      "pg_publication",
      """
      oid:o pubname:n pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b pubtruncate:b pubviaroot:b
      """
    ),
    (
      "pg_publication_rel",
      """
      oid:o prpubid:o prrelid:o prqual:t prattrs:v
      """
    ),
    (
      "pg_publication_namespace",
      """
      oid:o pnpubid:o pnnspid:o
      """
    ),
    (
      "pg_stat_activity",
      """
      datid:o datname:n pid:i leader_pid:i usesysid:o usename:n application_name:t client_addr:t client_hostname:t \
      client_port:i backend_start:z xact_start:z query_start:z state_change:z wait_event_type:t wait_event:t state:t \
      backend_xid:t backend_xmin:t query_id:l query:t backend_type:t
      """
    ),
    (
      "pg_locks",
      """
      locktype:t database:o relation:o page:i tuple:s virtualxid:t transactionid:t classid:o objid:o objsubid:s \
      virtualtransaction:t pid:i mode:t granted:b fastpath:b waitstart:z
      """
    ),
    (
      "pg_auth_members",
      """
      roleid:o member:o grantor:o admin_option:b
      """
    ),
    (
      "pg_event_trigger",
      """
      oid:o evtname:n evtevent:n evtowner:o evtfoid:o evtenabled:c evttags:T
      """
    ),
    (
      "pg_cast",
      """
      oid:o castsource:o casttarget:o castfunc:o castcontext:c castmethod:c
      """
    ),
    (
      "pg_aggregate",
      """
      aggfnoid:p aggkind:c aggnumdirectargs:s aggtransfn:p aggfinalfn:p aggcombinefn:p aggserialfn:p aggdeserialfn:p \
      aggmtransfn:p aggminvtransfn:p aggmfinalfn:p aggfinalextra:b aggmfinalextra:b aggfinalmodify:c aggmfinalmodify:c \
      aggsortop:o aggtranstype:o aggtransspace:i aggmtranstype:o aggmtransspace:i agginitval:t aggminitval:t
      """
    ),
    (
      "pg_stat_user_tables",
      """
      relid:o schemaname:n relname:n seq_scan:l seq_tup_read:l idx_scan:l idx_tup_fetch:l n_tup_ins:l n_tup_upd:l \
      n_tup_del:l n_tup_hot_upd:l n_live_tup:l n_dead_tup:l n_mod_since_analyze:l n_ins_since_vacuum:l last_vacuum:z \
      last_autovacuum:z last_analyze:z last_autoanalyze:z vacuum_count:l autovacuum_count:l analyze_count:l \
      autoanalyze_count:l
      """
    ),
    (
      "pg_db_role_setting",
      """
      setdatabase:o setrole:o setconfig:T
      """
    ),
    (
      "pg_seclabel",
      """
      objoid:o classoid:o objsubid:i provider:t label:t
      """
    ),
    (
      "pg_conversion",
      """
      oid:o conname:n connamespace:o conowner:o conforencoding:i contoencoding:i conproc:p condefault:b
      """
    ),
    (
      "pg_ts_config",
      """
      oid:o cfgname:n cfgnamespace:o cfgowner:o cfgparser:o
      """
    ),
    (
      "information_schema.tables",
      """
      table_catalog:n table_schema:n table_name:n table_type:t self_referencing_column_name:n reference_generation:t \
      user_defined_type_catalog:n user_defined_type_schema:n user_defined_type_name:n is_insertable_into:t is_typed:t \
      commit_action:t
      """
    ),
    (
      "information_schema.columns",
      """
      table_catalog:n table_schema:n table_name:n column_name:n ordinal_position:i column_default:t is_nullable:t \
      data_type:t character_maximum_length:i character_octet_length:i numeric_precision:i numeric_precision_radix:i \
      numeric_scale:i datetime_precision:i interval_type:t interval_precision:i character_set_catalog:n \
      character_set_schema:n character_set_name:n collation_catalog:n collation_schema:n collation_name:n domain_catalog:n \
      domain_schema:n domain_name:n udt_catalog:n udt_schema:n udt_name:n scope_catalog:n scope_schema:n scope_name:n \
      maximum_cardinality:i dtd_identifier:n is_self_referencing:t is_identity:t identity_generation:t identity_start:t \
      identity_increment:t identity_maximum:t identity_minimum:t identity_cycle:t is_generated:t generation_expression:t \
      is_updatable:t
      """
    ),
    (
      "information_schema.schemata",
      """
      catalog_name:n schema_name:n schema_owner:n default_character_set_catalog:n default_character_set_schema:n \
      default_character_set_name:n sql_path:t
      """
    ),
    (
      "information_schema.views",
      """
      table_catalog:n table_schema:n table_name:n view_definition:t check_option:t is_updatable:t is_insertable_into:t \
      is_trigger_updatable:t is_trigger_deletable:t is_trigger_insertable_into:t
      """
    ),
    (
      "information_schema.table_constraints",
      """
      constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n \
      constraint_type:t is_deferrable:t initially_deferred:t enforced:t nulls_distinct:t
      """
    ),
    (
      "information_schema.key_column_usage",
      """
      constraint_catalog:n constraint_schema:n constraint_name:n table_catalog:n table_schema:n table_name:n column_name:n \
      ordinal_position:i position_in_unique_constraint:i
      """
    ),
    (
      "information_schema.referential_constraints",
      """
      constraint_catalog:n constraint_schema:n constraint_name:n unique_constraint_catalog:n unique_constraint_schema:n \
      unique_constraint_name:n match_option:t update_rule:t delete_rule:t
      """
    ),
    (
      "information_schema.constraint_column_usage",
      """
      table_catalog:n table_schema:n table_name:n column_name:n constraint_catalog:n constraint_schema:n constraint_name:n
      """
    ),
    (
      "information_schema.routines",
      """
      specific_catalog:n specific_schema:n specific_name:n routine_catalog:n routine_schema:n routine_name:n routine_type:t \
      module_catalog:n module_schema:n module_name:n udt_catalog:n udt_schema:n udt_name:n data_type:t \
      character_maximum_length:i character_octet_length:i character_set_catalog:n character_set_schema:n \
      character_set_name:n collation_catalog:n collation_schema:n collation_name:n numeric_precision:i \
      numeric_precision_radix:i numeric_scale:i datetime_precision:i interval_type:t interval_precision:i type_udt_catalog:n \
      type_udt_schema:n type_udt_name:n scope_catalog:n scope_schema:n scope_name:n maximum_cardinality:i dtd_identifier:n \
      routine_body:t routine_definition:t external_name:t external_language:t parameter_style:t is_deterministic:t \
      sql_data_access:t is_null_call:t sql_path:t schema_level_routine:t max_dynamic_result_sets:i is_user_defined_cast:t \
      is_implicitly_invocable:t security_type:t to_sql_specific_catalog:n to_sql_specific_schema:n to_sql_specific_name:n \
      as_locator:t created:t last_altered:t new_savepoint_level:t is_udt_dependent:t result_cast_from_data_type:t \
      result_cast_as_locator:t result_cast_char_max_length:i result_cast_char_octet_length:i result_cast_char_set_catalog:n \
      result_cast_char_set_schema:n result_cast_char_set_name:n result_cast_collation_catalog:n \
      result_cast_collation_schema:n result_cast_collation_name:n result_cast_numeric_precision:i \
      result_cast_numeric_precision_radix:i result_cast_numeric_scale:i result_cast_datetime_precision:i \
      result_cast_interval_type:t result_cast_interval_precision:i result_cast_type_udt_catalog:n \
      result_cast_type_udt_schema:n result_cast_type_udt_name:n result_cast_scope_catalog:n result_cast_scope_schema:n \
      result_cast_scope_name:n result_cast_maximum_cardinality:i result_cast_dtd_identifier:n
      """
    ),
    (
      "information_schema.sequences",
      """
      sequence_catalog:n sequence_schema:n sequence_name:n data_type:t numeric_precision:i numeric_precision_radix:i \
      numeric_scale:i start_value:t minimum_value:t maximum_value:t increment:t cycle_option:t
      """
    ),
    (
      "information_schema.check_constraints",
      """
      constraint_catalog:n constraint_schema:n constraint_name:n check_clause:t
      """
    ),
    (
      "information_schema.table_privileges",
      """
      grantor:n grantee:n table_catalog:n table_schema:n table_name:n privilege_type:t is_grantable:t with_hierarchy:t
      """
    ),
    (
      "information_schema.character_sets",
      """
      character_set_catalog:n character_set_schema:n character_set_name:n character_repertoire:n form_of_use:n \
      default_collate_catalog:n default_collate_schema:n default_collate_name:n
      """
    ),
    (
      "information_schema.triggers",
      """
      trigger_catalog:n trigger_schema:n trigger_name:n event_manipulation:t event_object_catalog:n event_object_schema:n \
      event_object_table:n action_order:i action_condition:t action_statement:t action_orientation:t action_timing:t \
      action_reference_old_table:n action_reference_new_table:n action_reference_old_row:n action_reference_new_row:n \
      created:t
      """
    ),
  ]
}
