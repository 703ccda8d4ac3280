// What Swift cannot import from sqlite3.h: variadic functions and casting macros. One line each, no logic.
#ifndef QUIRE_CSQLITE_SHIM_H
#define QUIRE_CSQLITE_SHIM_H
#include <malloc.h>
#include <sqlite3.h>

/// A connection that never checkpoints when it is closed last (SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE).
static inline int csqlite_no_checkpoint_on_close(sqlite3 *db) {
  return sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)0);
}
/// Sets one boolean database configuration, for example SQLITE_DBCONFIG_DQS_DML.
static inline int csqlite_set_db_flag(sqlite3 *db, int flag, int on) {
  return sqlite3_db_config(db, flag, on, (int *)0);
}
/// Process-wide: no memory statistics (they take a mutex for each allocation). Before sqlite3_initialize.
static inline int csqlite_config_no_memory_statistics(void) { return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); }
/// Process-wide: connections are guarded by their owners, not by SQLite. Before sqlite3_initialize.
static inline int csqlite_config_multithread(void) { return sqlite3_config(SQLITE_CONFIG_MULTITHREAD); }
void *memmem(const void *, size_t, const void *, size_t);
/// memmem, which glibc declares for C with its extensions only.
static inline const void *csqlite_find(const void *text, size_t count, const void *wanted, size_t wantedCount) {
  return memmem(text, count, wanted, wantedCount);
}
/// How large an allocation of malloc's is.
static inline long csqlite_usable_size(void *memory) { return (long)malloc_usable_size(memory); }
/// Process-wide: where SQLite's memory comes from. Before sqlite3_initialize.
static inline int csqlite_config_malloc(const sqlite3_mem_methods *methods) {
  return sqlite3_config(SQLITE_CONFIG_MALLOC, methods);
}
/// The destructor that makes SQLite copy what is bound or returned; the macro is a cast and is not imported.
static inline sqlite3_destructor_type csqlite_transient(void) { return SQLITE_TRANSIENT; }

// The wal-index: memory that other processes read and write too.

/// A word of it that is read with everything that was written before it.
static inline unsigned csqlite_load32(const void *word) { return __atomic_load_n((const unsigned *)word, __ATOMIC_ACQUIRE); }
/// A word that is written after everything that was written before it.
static inline void csqlite_store32(void *word, unsigned value) {
  __atomic_store_n((unsigned *)word, value, __ATOMIC_RELEASE);
}
/// A slot of a hash table likewise.
static inline void csqlite_store16(void *slot, unsigned short value) {
  __atomic_store_n((unsigned short *)slot, value, __ATOMIC_RELEASE);
}

// Virtual tables: the C layouts that SQLite asks for (its own structure first, then ours).

/// A virtual table that belongs to a Swift object.
typedef struct csqlite_vtab {
  sqlite3_vtab base;
  void *object;
} csqlite_vtab;
/// A cursor over one that belongs to a Swift object.
typedef struct csqlite_vtab_cursor {
  sqlite3_vtab_cursor base;
  void *object;
} csqlite_vtab_cursor;
/// A file of a VFS of ours, which belongs to a Swift object; the file of the VFS below follows it in the same allocation.
typedef struct csqlite_file {
  sqlite3_file base;
  void *object;
  /// What the object has counted of it, where it does.
  sqlite3_int64 size;
} csqlite_file;
static inline sqlite3_file *csqlite_file_below(csqlite_file *file) { return (sqlite3_file *)(file + 1); }
/// A copy of `text` that SQLite frees: for zErrMsg and idxStr. NULL when out of memory.
static inline char *csqlite_copy_text(const char *text) { return sqlite3_mprintf("%s", text); }
#endif
