// SQLite as the program has it that loaded us: every sqlite3_ function that the rooms call, defined here as a call of the host's own.
#ifndef QUIRE_CHOSTSQLITE_H
#define QUIRE_CHOSTSQLITE_H

/// What sqlite3ext.h calls sqlite3_api_routines, which the host hands to an extension when it loads it.
struct sqlite3_api_routines;

/// Takes the host's functions for this process's.
///
/// SQLITE_OK when they will do; otherwise SQLITE_ERROR, and what is wrong with them in `message`. Nothing of SQLite may be called before
/// this has succeeded.
int chost_adopt(const struct sqlite3_api_routines *api, char **message);

/// A copy of `text` that the host frees, for an error message.
char *chost_message(const char *text);
#endif
