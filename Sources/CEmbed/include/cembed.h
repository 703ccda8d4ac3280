// Files of the source tree that travel inside the binary. Nothing is allocated; the bytes live as long as the program.
#ifndef QUIRE_CEMBED_H
#define QUIRE_CEMBED_H
#include <stddef.h>

/// One embedded file: its path from the root of the source tree, and its bytes (not terminated).
typedef struct {
  const char *path;
  const unsigned char *bytes;
  size_t count;
} cembed_file;

size_t cembed_file_count(void);
/// The file at `index`, which must be below `cembed_file_count()`.
cembed_file cembed_file_at(size_t index);
#endif
