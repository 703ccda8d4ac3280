#include "chostsqlite.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

// Otherwise the header makes macros of the very names that are defined below.
#define SQLITE_CORE 1
#include <sqlite3ext.h>

typedef struct sqlite3_api_routines routines;
static _Atomic(const routines *) adopted;
// Read at each call, after it was written once: no call comes before an adoption that succeeded.
static const routines *host;

// Each function: what it returns, its name, the name it has among the host's, its parameters, and these handed on.
#define CALLS(X)                                                                                                          \
  X(void *, aggregate_context, aggregate_context, (sqlite3_context * c, int n), (c, n))                                   \
  X(int, bind_blob64, bind_blob64, (sqlite3_stmt * s, int i, const void *b, sqlite3_uint64 n, void (*d)(void *)), (s, i, b, n, d)) \
  X(int, bind_double, bind_double, (sqlite3_stmt * s, int i, double v), (s, i, v))                                        \
  X(int, bind_int64, bind_int64, (sqlite3_stmt * s, int i, sqlite3_int64 v), (s, i, v))                                   \
  X(int, bind_null, bind_null, (sqlite3_stmt * s, int i), (s, i))                                                         \
  X(int, bind_parameter_count, bind_parameter_count, (sqlite3_stmt * s), (s))                                             \
  X(int, bind_parameter_index, bind_parameter_index, (sqlite3_stmt * s, const char *n), (s, n))                           \
  X(const char *, bind_parameter_name, bind_parameter_name, (sqlite3_stmt * s, int i), (s, i))                            \
  X(int, bind_text64, bind_text64,                                                                                        \
    (sqlite3_stmt * s, int i, const char *t, sqlite3_uint64 n, void (*d)(void *), unsigned char e), (s, i, t, n, d, e))   \
  X(int, bind_value, bind_value, (sqlite3_stmt * s, int i, const sqlite3_value *v), (s, i, v))                            \
  X(int, bind_zeroblob, bind_zeroblob, (sqlite3_stmt * s, int i, int n), (s, i, n))                                       \
  X(int, blob_bytes, blob_bytes, (sqlite3_blob * b), (b))                                                                 \
  X(int, blob_close, blob_close, (sqlite3_blob * b), (b))                                                                 \
  X(int, blob_open, blob_open,                                                                                            \
    (sqlite3 * d, const char *s, const char *t, const char *c, sqlite3_int64 r, int f, sqlite3_blob **b), (d, s, t, c, r, f, b)) \
  X(int, blob_read, blob_read, (sqlite3_blob * b, void *o, int n, int i), (b, o, n, i))                                   \
  X(int, blob_reopen, blob_reopen, (sqlite3_blob * b, sqlite3_int64 r), (b, r))                                           \
  X(int, busy_timeout, busy_timeout, (sqlite3 * d, int ms), (d, ms))                                                      \
  X(sqlite3_int64, changes64, changes64, (sqlite3 * d), (d))                                                              \
  X(int, clear_bindings, clear_bindings, (sqlite3_stmt * s), (s))                                                         \
  X(int, close, close, (sqlite3 * d), (d))                                                                                \
  X(int, close_v2, close_v2, (sqlite3 * d), (d))                                                                          \
  X(const void *, column_blob, column_blob, (sqlite3_stmt * s, int i), (s, i))                                            \
  X(int, column_bytes, column_bytes, (sqlite3_stmt * s, int i), (s, i))                                                   \
  X(int, column_count, column_count, (sqlite3_stmt * s), (s))                                                             \
  X(const char *, column_decltype, column_decltype, (sqlite3_stmt * s, int i), (s, i))                                    \
  X(double, column_double, column_double, (sqlite3_stmt * s, int i), (s, i))                                              \
  X(sqlite3_int64, column_int64, column_int64, (sqlite3_stmt * s, int i), (s, i))                                         \
  X(const char *, column_name, column_name, (sqlite3_stmt * s, int i), (s, i))                                            \
  X(const unsigned char *, column_text, column_text, (sqlite3_stmt * s, int i), (s, i))                                   \
  X(int, column_type, column_type, (sqlite3_stmt * s, int i), (s, i))                                                     \
  X(sqlite3_value *, column_value, column_value, (sqlite3_stmt * s, int i), (s, i))                                       \
  X(int, create_function_v2, create_function_v2,                                                                          \
    (sqlite3 * d, const char *n, int a, int e, void *p, void (*f)(sqlite3_context *, int, sqlite3_value **),              \
     void (*s)(sqlite3_context *, int, sqlite3_value **), void (*z)(sqlite3_context *), void (*x)(void *)),               \
    (d, n, a, e, p, f, s, z, x))                                                                                          \
  X(int, create_module_v2, create_module_v2,                                                                              \
    (sqlite3 * d, const char *n, const sqlite3_module *m, void *p, void (*x)(void *)), (d, n, m, p, x))                   \
  X(sqlite3_file *, database_file_object, database_file_object, (const char *n), (n))                                     \
  X(int, declare_vtab, declare_vtab, (sqlite3 * d, const char *s), (d, s))                                                \
  X(const char *, errmsg, errmsg, (sqlite3 * d), (d))                                                                     \
  X(int, error_offset, error_offset, (sqlite3 * d), (d))                                                                  \
  X(const char *, errstr, errstr, (int c), (c))                                                                           \
  X(int, exec, exec, (sqlite3 * d, const char *s, sqlite3_callback f, void *p, char **m), (d, s, f, p, m))                \
  X(int, extended_errcode, extended_errcode, (sqlite3 * d), (d))                                                          \
  X(int, file_control, file_control, (sqlite3 * d, const char *n, int o, void *p), (d, n, o, p))                          \
  X(int, finalize, finalize, (sqlite3_stmt * s), (s))                                                                     \
  X(void, free, free, (void *p), (p))                                                                                     \
  X(int, get_autocommit, get_autocommit, (sqlite3 * d), (d))                                                              \
  X(void, interrupt, interruptx, (sqlite3 * d), (d))                                                                      \
  X(sqlite3_int64, last_insert_rowid, last_insert_rowid, (sqlite3 * d), (d))                                              \
  X(const char *, libversion, libversion, (void), ())                                                                     \
  X(int, limit, limit, (sqlite3 * d, int i, int v), (d, i, v))                                                            \
  X(int, open_v2, open_v2, (const char *n, sqlite3 **d, int f, const char *v), (n, d, f, v))                              \
  X(int, prepare_v3, prepare_v3, (sqlite3 * d, const char *s, int n, unsigned f, sqlite3_stmt **o, const char **t),       \
    (d, s, n, f, o, t))                                                                                                   \
  X(void, progress_handler, progress_handler, (sqlite3 * d, int n, int (*f)(void *), void *p), (d, n, f, p))              \
  X(int, reset, reset, (sqlite3_stmt * s), (s))                                                                           \
  X(void, result_blob64, result_blob64, (sqlite3_context * c, const void *b, sqlite3_uint64 n, void (*d)(void *)), (c, b, n, d)) \
  X(void, result_double, result_double, (sqlite3_context * c, double v), (c, v))                                          \
  X(void, result_error, result_error, (sqlite3_context * c, const char *m, int n), (c, m, n))                             \
  X(void, result_error_code, result_error_code, (sqlite3_context * c, int e), (c, e))                                     \
  X(void, result_int64, result_int64, (sqlite3_context * c, sqlite3_int64 v), (c, v))                                     \
  X(void, result_null, result_null, (sqlite3_context * c), (c))                                                           \
  X(void, result_text, result_text, (sqlite3_context * c, const char *t, int n, void (*d)(void *)), (c, t, n, d))         \
  X(void, result_text64, result_text64,                                                                                   \
    (sqlite3_context * c, const char *t, sqlite3_uint64 n, void (*d)(void *), unsigned char e), (c, t, n, d, e))          \
  X(void, result_value, result_value, (sqlite3_context * c, sqlite3_value *v), (c, v))                                    \
  X(void, result_zeroblob, result_zeroblob, (sqlite3_context * c, int n), (c, n))                                         \
  X(int, set_authorizer, set_authorizer,                                                                                  \
    (sqlite3 * d, int (*f)(void *, int, const char *, const char *, const char *, const char *), void *p), (d, f, p))     \
  X(const char *, sql, sql, (sqlite3_stmt * s), (s))                                                                      \
  X(int, step, step, (sqlite3_stmt * s), (s))                                                                             \
  X(int, stmt_isexplain, stmt_isexplain, (sqlite3_stmt * s), (s))                                                         \
  X(int, stmt_readonly, stmt_readonly, (sqlite3_stmt * s), (s))                                                           \
  X(void *, user_data, user_data, (sqlite3_context * c), (c))                                                             \
  X(const void *, value_blob, value_blob, (sqlite3_value * v), (v))                                                       \
  X(int, value_bytes, value_bytes, (sqlite3_value * v), (v))                                                              \
  X(double, value_double, value_double, (sqlite3_value * v), (v))                                                         \
  X(sqlite3_value *, value_dup, value_dup, (const sqlite3_value *v), (v))                                                 \
  X(void, value_free, value_free, (sqlite3_value * v), (v))                                                               \
  X(sqlite3_int64, value_int64, value_int64, (sqlite3_value * v), (v))                                                    \
  X(int, value_numeric_type, value_numeric_type, (sqlite3_value * v), (v))                                                \
  X(const unsigned char *, value_text, value_text, (sqlite3_value * v), (v))                                              \
  X(int, value_type, value_type, (sqlite3_value * v), (v))                                                                \
  X(sqlite3_vfs *, vfs_find, vfs_find, (const char *n), (n))                                                              \
  X(int, vfs_register, vfs_register, (sqlite3_vfs * v, int d), (v, d))                                                    \
  X(int, vfs_unregister, vfs_unregister, (sqlite3_vfs * v), (v))                                                          \
  X(const char *, vtab_collation, vtab_collation, (sqlite3_index_info * i, int c), (i, c))                                \
  X(int, vtab_distinct, vtab_distinct, (sqlite3_index_info * i), (i))                                                     \
  X(int, vtab_in, vtab_in, (sqlite3_index_info * i, int c, int h), (i, c, h))                                             \
  X(int, vtab_in_first, vtab_in_first, (sqlite3_value * v, sqlite3_value **o), (v, o))                                    \
  X(int, vtab_in_next, vtab_in_next, (sqlite3_value * v, sqlite3_value **o), (v, o))                                      \
  X(int, vtab_rhs_value, vtab_rhs_value, (sqlite3_index_info * i, int c, sqlite3_value **o), (i, c, o))                   \
  X(int, wal_autocheckpoint, wal_autocheckpoint, (sqlite3 * d, int n), (d, n))                                            \
  X(int, wal_checkpoint_v2, wal_checkpoint_v2, (sqlite3 * d, const char *n, int m, int *l, int *c), (d, n, m, l, c))      \
  X(void *, wal_hook, wal_hook, (sqlite3 * d, int (*f)(void *, sqlite3 *, const char *, int), void *p), (d, f, p))

#define DEFINE(result, name, field, parameters, arguments) \
  result sqlite3_##name parameters { return host->field arguments; }
CALLS(DEFINE)

// Those with a variable number of arguments, as the rooms use them.

int sqlite3_db_config(sqlite3 *db, int operation, ...) {
  va_list arguments;
  va_start(arguments, operation);
  int value = va_arg(arguments, int);
  int *out = va_arg(arguments, int *);
  va_end(arguments);
  return host->db_config(db, operation, value, out);
}

char *sqlite3_mprintf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *text = host->vmprintf(format, arguments);
  va_end(arguments);
  return text;
}

// How SQLite works in this process is the host's matter.
int sqlite3_config(int operation, ...) { return SQLITE_MISUSE; }
int sqlite3_initialize(void) { return SQLITE_OK; }

// The oldest that has all of the above: sqlite3_vtab_in and sqlite3_vtab_distinct came with it.
#define OLDEST 3038000
#define OLDEST_TEXT "3.38"

static const struct {
  const char *name;
  size_t place;
} needed[] = {
#define ENTRY(result, name, field, parameters, arguments) {"sqlite3_" #name, offsetof(routines, field)},
    CALLS(ENTRY) ENTRY(, db_config, db_config, , ) ENTRY(, vmprintf, vmprintf, , )};

static int refuse(const routines *api, char **message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  if (message && api && api->vmprintf) *message = api->vmprintf(format, arguments);
  va_end(arguments);
  return SQLITE_ERROR;
}

int chost_adopt(const routines *api, char **message) {
  if (!api || !api->libversion_number || !api->libversion) return refuse(api, message, "there is no SQLite to load Quire into");
  if (api->libversion_number() < OLDEST)
    return refuse(api, message, "Quire needs SQLite %s or later; this program has %s", OLDEST_TEXT, api->libversion());
  for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
    if (*(void *const *)((const char *)api + needed[i].place)) continue;
    return refuse(api, message, "Quire needs %s, which this program's SQLite was built without", needed[i].name);
  }
  const routines *before = NULL;
  // Handles of one copy of SQLite mean nothing to another, and callbacks do not say which one calls.
  if (!atomic_compare_exchange_strong(&adopted, &before, api) && before != api)
    return refuse(
      api, message, "another copy of SQLite in this process (version %s) has loaded Quire before; only one can",
      before->libversion());
  host = api;
  return SQLITE_OK;
}

char *chost_message(const char *text) { return host->mprintf("%s", text); }
