#define _GNU_SOURCE
#include "cedit.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <langinfo.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

// From histedit.h, whose numbers and structures have been the same since libedit 3.0.
enum { EL_PROMPT = 0, EL_EDITOR = 2, EL_SIGNAL = 3, EL_BIND = 4, EL_ADDFN = 9, EL_HIST = 10, EL_GETCFN = 13, EL_CLIENTDATA = 14, EL_PREP_TERM = 16 };
enum { H_SETSIZE = 1, H_ENTER = 10, H_SETUNIQUE = 20 };
enum { CC_REFRESH = 4, CC_REDISPLAY = 8 };
typedef struct editline EditLine;
typedef struct history History;
typedef struct { int num; const char *str; } HistEvent;
typedef struct { const char *buffer, *cursor, *lastchar; } LineInfo;

struct cedit {
  void *library;
  EditLine *line;
  History *history;
  FILE *out;
  int wake_fd;
  int interrupted, shown;
  const char *prompt;
  char *last;
  void (*on_tab)(void *);
  void *tab_context;
  EditLine *(*init)(const char *, FILE *, FILE *, FILE *);
  void (*end)(EditLine *);
  const char *(*gets)(EditLine *, int *);
  int (*set)(EditLine *, int, ...);
  int (*get)(EditLine *, int, ...);
  const LineInfo *(*info)(EditLine *);
  int (*insert)(EditLine *, const char *);
  History *(*history_init)(void);
  void (*history_end)(History *);
  int (*history_call)(History *, HistEvent *, int, ...);
};

static cedit *of(EditLine *line, int (*get)(EditLine *, int, ...)) {
  void *edit = NULL;
  get(line, EL_CLIENTDATA, &edit);
  return edit;
}

// libedit calls back with nothing but its own object; there is one prompt in a process.
static int (*get_of_library)(EditLine *, int, ...);

static char *prompt_of(EditLine *line) { return (char *)of(line, get_of_library)->prompt; }

static int read_byte(cedit *edit, unsigned char *byte) {
  struct pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0}, {edit->wake_fd, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    if (fds[1].revents & POLLIN) {
      char drained[64];
      if (read(edit->wake_fd, drained, sizeof drained) < 0) { /* somebody else took it */ }
      edit->interrupted = 1;
      errno = EINTR;
      return -1;
    }
    if (!fds[0].revents) continue;
    ssize_t count = read(STDIN_FILENO, byte, 1);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    return (int)count;
  }
}

// One character of UTF-8; bytes that are none come as U+FFFD.
static int next_character(EditLine *line, wchar_t *character) {
  cedit *edit = of(line, get_of_library);
  unsigned char byte;
  int count = read_byte(edit, &byte);
  if (count != 1) return count;
  int more = byte < 0x80 ? 0 : byte >= 0xF0 && byte < 0xF8 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC2 ? 1 : -1;
  if (byte >= 0xF8) more = -1;
  if (more < 0) {
    *character = 0xFFFD;
    return 1;
  }
  wchar_t value = more == 0 ? byte : byte & (0x3F >> more);
  for (int i = 0; i < more; i++) {
    if ((count = read_byte(edit, &byte)) != 1) return count;
    if ((byte & 0xC0) != 0x80) {
      *character = 0xFFFD;
      return 1;
    }
    value = value << 6 | (byte & 0x3F);
  }
  *character = value;
  return 1;
}

static unsigned char tab(EditLine *line, int key) {
  (void)key;
  cedit *edit = of(line, get_of_library);
  edit->shown = 0;
  if (edit->on_tab) edit->on_tab(edit->tab_context);
  return edit->shown ? CC_REDISPLAY : CC_REFRESH;
}

static int load(cedit *edit) {
  edit->library = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!edit->library) edit->library = dlopen("libedit.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!edit->library) return 0;
  const struct { const char *name; void *target; } wanted[] = {
      {"el_init", &edit->init}, {"el_end", &edit->end}, {"el_gets", &edit->gets}, {"el_set", &edit->set},
      {"el_get", &edit->get}, {"el_line", &edit->info}, {"el_insertstr", &edit->insert},
      {"history_init", &edit->history_init}, {"history_end", &edit->history_end}, {"history", &edit->history_call},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
    void *symbol = dlsym(edit->library, wanted[i].name);
    if (!symbol) return 0;
    memcpy(wanted[i].target, &symbol, sizeof symbol);
  }
  return 1;
}

cedit *cedit_open(int to_error, int wake_fd, int history_max) {
  // libedit counts the columns of characters by the locale.
  if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
  cedit *edit = calloc(1, sizeof *edit);
  if (!edit) return NULL;
  edit->out = to_error ? stderr : stdout;
  edit->wake_fd = wake_fd;
  edit->prompt = "";
  HistEvent event;
  if (!load(edit) || !(edit->line = edit->init("quire", stdin, edit->out, stderr)) || !(edit->history = edit->history_init())) {
    cedit_close(edit);
    return NULL;
  }
  get_of_library = edit->get;
  edit->history_call(edit->history, &event, H_SETSIZE, history_max);
  edit->history_call(edit->history, &event, H_SETUNIQUE, 1);
  edit->set(edit->line, EL_CLIENTDATA, edit);
  edit->set(edit->line, EL_SIGNAL, 0);
  edit->set(edit->line, EL_EDITOR, "emacs");
  edit->set(edit->line, EL_PROMPT, prompt_of);
  edit->set(edit->line, EL_HIST, edit->history_call, edit->history);
  edit->set(edit->line, EL_GETCFN, next_character);
  edit->set(edit->line, EL_ADDFN, "quire-complete", "complete a name", tab);
  edit->set(edit->line, EL_BIND, "^I", "quire-complete", NULL);
  edit->set(edit->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
  edit->set(edit->line, EL_BIND, "\\e[1;5C", "em-next-word", NULL);
  edit->set(edit->line, EL_BIND, "\\e[1;5D", "ed-prev-word", NULL);
  edit->set(edit->line, EL_BIND, "\\e[3~", "ed-delete-next-char", NULL);
  return edit;
}

void cedit_close(cedit *edit) {
  if (edit->line) edit->end(edit->line);
  if (edit->history) edit->history_end(edit->history);
  if (edit->library) dlclose(edit->library);
  free(edit->last);
  free(edit);
}

const char *cedit_read(cedit *edit, const char *prompt, int *outcome) {
  edit->prompt = prompt;
  edit->interrupted = 0;
  int count = 0;
  // libedit shows its prompt before it takes the terminal over: a Ctrl-D between the two would be the terminal's.
  edit->set(edit->line, EL_PREP_TERM, 1);
  const char *line = edit->gets(edit->line, &count);
  if (edit->interrupted || !line || count <= 0) {
    *outcome = edit->interrupted ? CEDIT_INTERRUPTED : CEDIT_END;
    fputc('\n', edit->out);
    fflush(edit->out);
    return NULL;
  }
  free(edit->last);
  edit->last = strdup(line);
  if (!edit->last) {
    *outcome = CEDIT_END;
    return NULL;
  }
  edit->last[strcspn(edit->last, "\n")] = 0;
  *outcome = CEDIT_LINE;
  return edit->last;
}

void cedit_remember(cedit *edit, const char *line) {
  HistEvent event;
  edit->history_call(edit->history, &event, H_ENTER, line);
}

void cedit_on_tab(cedit *edit, void (*call)(void *), void *context) {
  edit->on_tab = call;
  edit->tab_context = context;
}

const char *cedit_typed(cedit *edit, size_t *cursor, size_t *count) {
  const LineInfo *info = edit->info(edit->line);
  *cursor = (size_t)(info->cursor - info->buffer);
  *count = (size_t)(info->lastchar - info->buffer);
  return info->buffer;
}

void cedit_insert(cedit *edit, const char *text) { edit->insert(edit->line, text); }

void cedit_show(cedit *edit, const char *text) {
  fputc('\n', edit->out);
  fputs(text, edit->out);
  fflush(edit->out);
  edit->shown = 1;
}

void cedit_screen(int fd, int *rows, int *columns) {
  struct winsize size = {0};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) size.ws_row = size.ws_col = 0;
  *rows = size.ws_row;
  *columns = size.ws_col;
}

int cedit_pipe(int ends[2], int nonblocking) { return pipe2(ends, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)); }
