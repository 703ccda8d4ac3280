// XXH64, the hash of sealed segment files (xxhash.com, public specification). No allocation; the state is the caller's.
#ifndef QUIRE_CCODECS_HASH_H
#define QUIRE_CCODECS_HASH_H
#include <stddef.h>
#include <stdint.h>

/// A hash being computed over bytes that come in pieces.
typedef struct {
  uint64_t lanes[4];
  uint64_t total;
  uint8_t rest[32];
  uint64_t rest_count;
} ccodecs_xxh64;

void ccodecs_xxh64_begin(ccodecs_xxh64 *state);
void ccodecs_xxh64_update(ccodecs_xxh64 *state, const void *bytes, size_t count);
uint64_t ccodecs_xxh64_end(const ccodecs_xxh64 *state);

#endif
