// Lines from a terminal by libedit, which is loaded when a prompt is opened: a machine without it runs everything else.
#ifndef QUIRE_CEDIT_H
#define QUIRE_CEDIT_H
#include <stddef.h>

/// One prompt. Used by one thread.
typedef struct cedit cedit;

enum { CEDIT_LINE, CEDIT_END, CEDIT_INTERRUPTED };

/// Begins to read from standard input, and to write to standard output or, where `to_error` is set, to standard error. A byte that can be read from `wake_fd` interrupts a line that is being
/// edited. NULL where libedit is not there, or the terminal cannot be used.
cedit *cedit_open(int to_error, int wake_fd, int history_max);
void cedit_close(cedit *edit);

/// The next line, without its end, in UTF-8; it stays until the next call. NULL at the end of input and where it was interrupted.
const char *cedit_read(cedit *edit, const char *prompt, int *outcome);
/// Adds a line to those that the arrow keys bring back.
void cedit_remember(cedit *edit, const char *line);

/// What the Tab key calls, with `context`.
void cedit_on_tab(cedit *edit, void (*call)(void *context), void *context);
/// Inside of that call: the line so far, and the cursor's byte in it.
const char *cedit_typed(cedit *edit, size_t *cursor, size_t *count);
/// Inside of that call: types `text` at the cursor.
void cedit_insert(cedit *edit, const char *text);
/// Inside of that call: writes `text` below the line, which is then shown again.
void cedit_show(cedit *edit, const char *text);

/// Rows and columns of the terminal behind a descriptor; 0 if it is none.
void cedit_screen(int fd, int *rows, int *columns);

/// A pipe whose ends are not inherited and, where `nonblocking` is set, never waited for. 0, or -1 and errno.
int cedit_pipe(int ends[2], int nonblocking);
#endif
