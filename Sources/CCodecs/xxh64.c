// XXH64 with seed 0. In C because a segment of 256 MiB is hashed in a debug build too.
#include "ccodecs_hash.h"
#include <string.h>

static const uint64_t P1 = 0x9E3779B185EBCA87, P2 = 0xC2B2AE3D27D4EB4F, P3 = 0x165667B19E3779F9, P4 = 0x85EBCA77C2B2AE63,
                      P5 = 0x27D4EB2F165667C5;

static inline uint64_t rotl(uint64_t x, int n) { return x << n | x >> (64 - n); }
static inline uint64_t read64(const uint8_t *p) {
  uint64_t x;
  memcpy(&x, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap64(x);
#endif
  return x;
}
static inline uint32_t read32(const uint8_t *p) {
  uint32_t x;
  memcpy(&x, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  x = __builtin_bswap32(x);
#endif
  return x;
}
static inline uint64_t step(uint64_t lane, uint64_t input) { return rotl(lane + input * P2, 31) * P1; }

static void block(ccodecs_xxh64 *s, const uint8_t *p) {
  for (int i = 0; i < 4; i++) s->lanes[i] = step(s->lanes[i], read64(p + 8 * i));
}

void ccodecs_xxh64_begin(ccodecs_xxh64 *s) {
  memset(s, 0, sizeof *s);
  s->lanes[0] = P1 + P2;
  s->lanes[1] = P2;
  s->lanes[3] = -P1;
}

void ccodecs_xxh64_update(ccodecs_xxh64 *s, const void *bytes, size_t count) {
  const uint8_t *p = bytes;
  s->total += count;
  if (s->rest_count > 0) {
    size_t take = 32 - s->rest_count < count ? 32 - s->rest_count : count;
    memcpy(s->rest + s->rest_count, p, take);
    s->rest_count += take;
    p += take;
    count -= take;
    if (s->rest_count < 32) return;
    block(s, s->rest);
    s->rest_count = 0;
  }
  uint64_t a = s->lanes[0], b = s->lanes[1], c = s->lanes[2], d = s->lanes[3];
  for (; count >= 32; count -= 32, p += 32) {
    a = step(a, read64(p));
    b = step(b, read64(p + 8));
    c = step(c, read64(p + 16));
    d = step(d, read64(p + 24));
  }
  s->lanes[0] = a, s->lanes[1] = b, s->lanes[2] = c, s->lanes[3] = d;
  if (count > 0) memcpy(s->rest, p, count);
  s->rest_count = count;
}

uint64_t ccodecs_xxh64_end(const ccodecs_xxh64 *s) {
  uint64_t h = P5;
  if (s->total >= 32) {
    h = rotl(s->lanes[0], 1) + rotl(s->lanes[1], 7) + rotl(s->lanes[2], 12) + rotl(s->lanes[3], 18);
    for (int i = 0; i < 4; i++) h = (h ^ step(0, s->lanes[i])) * P1 + P4;
  }
  h += s->total;
  const uint8_t *p = s->rest, *end = s->rest + s->rest_count;
  for (; end - p >= 8; p += 8) h = rotl(h ^ step(0, read64(p)), 27) * P1 + P4;
  if (end - p >= 4) {
    h = rotl(h ^ read32(p) * P1, 23) * P2 + P3;
    p += 4;
  }
  for (; p < end; p++) h = rotl(h ^ *p * P5, 11) * P1;
  h = (h ^ h >> 33) * P2;
  h = (h ^ h >> 29) * P3;
  return h ^ h >> 32;
}
