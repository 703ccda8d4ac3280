// C side of the codecs: CRC32C with the processor's instruction. No allocation; nothing is retained.
#ifndef QUIRE_CCODECS_H
#define QUIRE_CCODECS_H
#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli) of `count` bytes, continuing from `crc` (0 to begin).
uint32_t ccodecs_crc32c(uint32_t crc, const void *bytes, size_t count);

#endif
