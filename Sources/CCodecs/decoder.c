// Streaming decompression. Each library's own streaming call is wrapped so that all three answer alike.
#include "ccodecs.h"
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

struct ccodecs_decoder {
  int codec;
  int gzip_ready, gzip_ended;
  z_stream gzip;
  LZ4F_dctx *lz4;
  int lz4_is_large, lz4_is_mid_frame;
  ZSTD_DCtx *zstd;
};

ccodecs_decoder *ccodecs_decoder_create(void) { return calloc(1, sizeof(ccodecs_decoder)); }

void ccodecs_decoder_destroy(ccodecs_decoder *d) {
  if (!d) return;
  if (d->gzip_ready) inflateEnd(&d->gzip);
  LZ4F_freeDecompressionContext(d->lz4);
  ZSTD_freeDCtx(d->zstd);
  free(d);
}

int ccodecs_decoder_begin(ccodecs_decoder *d, int codec) {
  d->codec = codec;
  switch (codec) {
    case CCODECS_GZIP:
      d->gzip_ended = 0;
      if (d->gzip_ready) return inflateReset2(&d->gzip, 15 + 16) == Z_OK ? 0 : CCODECS_BROKEN;
      memset(&d->gzip, 0, sizeof d->gzip);
      if (inflateInit2(&d->gzip, 15 + 16) != Z_OK) return CCODECS_BROKEN;  // +16: a gzip header, not zlib's
      d->gzip_ready = 1;
      return 0;
    case CCODECS_LZ4:
      // LZ4F_resetDecompressionContext of 1.9.4 keeps the content size that a frame given up half-way had declared, and then
      // refuses the next frame that declares none: such a context is of no further use.
      if (d->lz4_is_mid_frame) LZ4F_freeDecompressionContext(d->lz4), d->lz4 = NULL;
      d->lz4_is_mid_frame = 0;
      if (d->lz4) LZ4F_resetDecompressionContext(d->lz4);
      else if (LZ4F_isError(LZ4F_createDecompressionContext(&d->lz4, LZ4F_VERSION))) return d->lz4 = NULL, CCODECS_BROKEN;
      return 0;
    case CCODECS_ZSTD:
      if (!d->zstd && !(d->zstd = ZSTD_createDCtx())) return CCODECS_BROKEN;
      ZSTD_DCtx_reset(d->zstd, ZSTD_reset_session_only);
      return 0;
    default: return CCODECS_BROKEN;
  }
}

static ccodecs_step gzip_step(ccodecs_decoder *d, const void *input, size_t count, void *output, size_t capacity) {
  ccodecs_step step = {0, 0, CCODECS_MORE};
  if (d->gzip_ended) {  // another member follows the one that ended
    if (count == 0) return step.status = CCODECS_WHOLE, step;
    inflateReset(&d->gzip);
    d->gzip_ended = 0;
  }
  // zlib counts in 32 bits
  uInt in = count > 1u << 30 ? 1u << 30 : (uInt)count, out = capacity > 1u << 30 ? 1u << 30 : (uInt)capacity;
  d->gzip.next_in = (Bytef *)input;
  d->gzip.avail_in = in;
  d->gzip.next_out = output;
  d->gzip.avail_out = out;
  int result = inflate(&d->gzip, Z_NO_FLUSH);
  step.consumed = in - d->gzip.avail_in;
  step.produced = out - d->gzip.avail_out;
  d->gzip.next_in = NULL;
  d->gzip.next_out = NULL;
  if (result == Z_STREAM_END) step.status = CCODECS_WHOLE, d->gzip_ended = 1;
  else if (result != Z_OK && result != Z_BUF_ERROR) step.status = CCODECS_BROKEN;
  return step;
}

static ccodecs_step lz4_step(ccodecs_decoder *d, const void *input, size_t count, void *output, size_t capacity) {
  // BD byte of the frame's header: blocks above 256 KiB
  if (!d->lz4_is_mid_frame && count > 5) d->lz4_is_large |= (((const uint8_t *)input)[5] >> 4 & 7) > 5;
  d->lz4_is_mid_frame = 1;
  size_t in = count, out = capacity;
  size_t hint = LZ4F_decompress(d->lz4, output, &out, input, &in, NULL);
  if (LZ4F_isError(hint)) return (ccodecs_step){0, 0, CCODECS_BROKEN};
  if (hint == 0) d->lz4_is_mid_frame = 0;
  return (ccodecs_step){in, out, hint == 0 ? CCODECS_WHOLE : CCODECS_MORE};
}

static ccodecs_step zstd_step(ccodecs_decoder *d, const void *input, size_t count, void *output, size_t capacity) {
  ZSTD_inBuffer in = {input, count, 0};
  ZSTD_outBuffer out = {output, capacity, 0};
  size_t hint = ZSTD_decompressStream(d->zstd, &out, &in);
  if (ZSTD_isError(hint)) return (ccodecs_step){0, 0, CCODECS_BROKEN};
  return (ccodecs_step){in.pos, out.pos, hint == 0 ? CCODECS_WHOLE : CCODECS_MORE};
}

ccodecs_step ccodecs_decoder_step(ccodecs_decoder *d, const void *input, size_t count, void *output, size_t capacity) {
  switch (d->codec) {
    case CCODECS_GZIP: return gzip_step(d, input, count, output, capacity);
    case CCODECS_LZ4: return lz4_step(d, input, count, output, capacity);
    case CCODECS_ZSTD: return zstd_step(d, input, count, output, capacity);
    default: return (ccodecs_step){0, 0, CCODECS_BROKEN};
  }
}

void ccodecs_decoder_trim(ccodecs_decoder *d) {
  if (d->lz4 && d->lz4_is_large) {
    LZ4F_freeDecompressionContext(d->lz4);
    d->lz4 = NULL;
    d->lz4_is_large = 0;
  }
  if (d->zstd && ZSTD_sizeof_DCtx(d->zstd) > 4u << 20) {
    ZSTD_freeDCtx(d->zstd);
    d->zstd = NULL;
  }
}

int ccodecs_snappy_decoded_count(const void *input, size_t count, size_t *decoded) {
  return snappy_uncompressed_length(input, count, decoded) == SNAPPY_OK ? 0 : CCODECS_BROKEN;
}

int ccodecs_snappy_decode(const void *input, size_t count, void *output, size_t decoded) {
  size_t length = decoded;
  return snappy_uncompress(input, count, output, &length) == SNAPPY_OK && length == decoded ? 0 : CCODECS_BROKEN;
}
