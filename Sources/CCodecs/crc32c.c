// CRC32C: three interleaved streams of the crc32 instruction (it has a latency of three and a throughput of one cycle), joined by
// shifting over zeros; byte tables where the processor has no such instruction.
#include "ccodecs.h"
#include <string.h>

#define POLYNOMIAL 0x82F63B78u
#define LONG_BLOCK 4096
#define SHORT_BLOCK 256

static uint32_t byte_table[8][256];
static uint32_t long_shift[4][256], short_shift[4][256];

// x^(8*length) applied to a crc, as a 32x32 bit matrix by repeated squaring; then split into four byte tables.
static uint32_t multiply(const uint32_t *matrix, uint32_t vector) {
  uint32_t sum = 0;
  for (; vector; vector >>= 1, matrix++)
    if (vector & 1) sum ^= *matrix;
  return sum;
}
static void square(uint32_t *out, const uint32_t *in) {
  for (int i = 0; i < 32; i++) out[i] = multiply(in, in[i]);
}
static void make_shift(uint32_t table[4][256], size_t length) {
  uint32_t odd[32], even[32];
  odd[0] = POLYNOMIAL;
  for (int i = 1; i < 32; i++) odd[i] = 1u << (i - 1);
  square(even, odd);  // 2 zero bits
  square(odd, even);  // 4
  uint32_t *current = even, *other = odd;
  do {  // doubles once to a byte, then once for each power of two in length
    square(current, other);
    uint32_t *swap = current;
    current = other;
    other = swap;
    length >>= 1;
  } while (length);
  for (int i = 0; i < 256; i++)
    for (int b = 0; b < 4; b++) table[b][i] = multiply(other, (uint32_t)i << (8 * b));
}
static uint32_t apply_shift(const uint32_t table[4][256], uint32_t crc) {
  return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^ table[3][crc >> 24];
}

__attribute__((constructor)) static void make_tables(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int b = 0; b < 8; b++) crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    byte_table[0][i] = crc;
  }
  for (int i = 0; i < 256; i++)
    for (int t = 1; t < 8; t++) byte_table[t][i] = byte_table[t - 1][i] >> 8 ^ byte_table[0][byte_table[t - 1][i] & 255];
  make_shift(long_shift, LONG_BLOCK);
  make_shift(short_shift, SHORT_BLOCK);
}

static uint32_t by_table(uint32_t crc, const uint8_t *p, size_t count) {
  while (count >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    word ^= crc;
    crc = byte_table[7][word & 255] ^ byte_table[6][word >> 8 & 255] ^ byte_table[5][word >> 16 & 255] ^
          byte_table[4][word >> 24 & 255] ^ byte_table[3][word >> 32 & 255] ^ byte_table[2][word >> 40 & 255] ^
          byte_table[1][word >> 48 & 255] ^ byte_table[0][word >> 56];
    p += 8;
    count -= 8;
  }
  while (count--) crc = crc >> 8 ^ byte_table[0][(crc ^ *p++) & 255];
  return crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint64_t three_streams(uint64_t crc, const uint8_t **bytes, size_t *count, size_t block,
                                                                  const uint32_t shift[4][256]) {
  const uint8_t *p = *bytes;
  while (*count >= 3 * block) {
    uint64_t second = 0, third = 0, a, b, c;
    const uint8_t *end = p + block;
    do {
      memcpy(&a, p, 8);
      memcpy(&b, p + block, 8);
      memcpy(&c, p + 2 * block, 8);
      crc = _mm_crc32_u64(crc, a);
      second = _mm_crc32_u64(second, b);
      third = _mm_crc32_u64(third, c);
      p += 8;
    } while (p < end);
    crc = apply_shift(shift, (uint32_t)crc) ^ second;
    crc = apply_shift(shift, (uint32_t)crc) ^ third;
    p += 2 * block;
    *count -= 3 * block;
  }
  *bytes = p;
  return crc;
}

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t seed, const uint8_t *p, size_t count) {
  uint64_t crc = seed;
  crc = three_streams(crc, &p, &count, LONG_BLOCK, long_shift);
  crc = three_streams(crc, &p, &count, SHORT_BLOCK, short_shift);
  while (count >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = _mm_crc32_u64(crc, word);
    p += 8;
    count -= 8;
  }
  while (count--) crc = _mm_crc32_u8((uint32_t)crc, *p++);
  return (uint32_t)crc;
}
#endif

uint32_t ccodecs_crc32c(uint32_t crc, const void *bytes, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~by_instruction(~crc, bytes, count);
#endif
  return ~by_table(~crc, bytes, count);
}
