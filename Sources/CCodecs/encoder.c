// Streaming compression, one frame at a time.
#include "ccodecs.h"
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define LZ4_INPUT_MAX (64u << 10)

struct ccodecs_encoder {
  int codec;
  int gzip_ready;
  z_stream gzip;
  LZ4F_cctx *lz4;
  int lz4_begun;
  ZSTD_CCtx *zstd;
};

// Independent blocks of 64 KiB without content size or checksum: what Java's client writes, and all that it reads.
static const LZ4F_preferences_t lz4_preferences = {
  .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent}};

ccodecs_encoder *ccodecs_encoder_create(void) { return calloc(1, sizeof(ccodecs_encoder)); }

void ccodecs_encoder_destroy(ccodecs_encoder *e) {
  if (!e) return;
  if (e->gzip_ready) deflateEnd(&e->gzip);
  LZ4F_freeCompressionContext(e->lz4);
  ZSTD_freeCCtx(e->zstd);
  free(e);
}

int ccodecs_encoder_begin(ccodecs_encoder *e, int codec) {
  e->codec = codec;
  switch (codec) {
    case CCODECS_GZIP:
      if (e->gzip_ready) return deflateReset(&e->gzip) == Z_OK ? 0 : CCODECS_BROKEN;
      memset(&e->gzip, 0, sizeof e->gzip);
      if (deflateInit2(&e->gzip, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return CCODECS_BROKEN;
      e->gzip_ready = 1;
      return 0;
    case CCODECS_LZ4:
      e->lz4_begun = 0;
      if (!e->lz4 && LZ4F_isError(LZ4F_createCompressionContext(&e->lz4, LZ4F_VERSION)))
        return e->lz4 = NULL, CCODECS_BROKEN;
      return 0;
    case CCODECS_ZSTD:
      if (!e->zstd && !(e->zstd = ZSTD_createCCtx())) return CCODECS_BROKEN;
      ZSTD_CCtx_reset(e->zstd, ZSTD_reset_session_only);
      return 0;
    default: return CCODECS_BROKEN;
  }
}

size_t ccodecs_encoder_output_min(void) { return LZ4F_compressBound(LZ4_INPUT_MAX, &lz4_preferences) + LZ4F_HEADER_SIZE_MAX; }

static ccodecs_step gzip_step(
  ccodecs_encoder *e, const void *input, size_t count, void *output, size_t capacity, int finish) {
  uInt in = count > 1u << 30 ? 1u << 30 : (uInt)count, out = capacity > 1u << 30 ? 1u << 30 : (uInt)capacity;
  e->gzip.next_in = (Bytef *)input;
  e->gzip.avail_in = in;
  e->gzip.next_out = output;
  e->gzip.avail_out = out;
  int result = deflate(&e->gzip, finish && in == count ? Z_FINISH : Z_NO_FLUSH);
  ccodecs_step step = {in - e->gzip.avail_in, out - e->gzip.avail_out, CCODECS_MORE};
  if (result == Z_STREAM_END) step.status = CCODECS_WHOLE;
  else if (result != Z_OK && result != Z_BUF_ERROR) step.status = CCODECS_BROKEN;
  return step;
}

static ccodecs_step lz4_step(
  ccodecs_encoder *e, const void *input, size_t count, void *output, size_t capacity, int finish) {
  ccodecs_step step = {0, 0, CCODECS_BROKEN};
  size_t result;
  if (!e->lz4_begun) {
    result = LZ4F_compressBegin(e->lz4, output, capacity, &lz4_preferences);
    if (LZ4F_isError(result)) return step;
    e->lz4_begun = 1;
    return (ccodecs_step){0, result, CCODECS_MORE};
  }
  if (count > 0) {
    size_t in = count > LZ4_INPUT_MAX ? LZ4_INPUT_MAX : count;
    result = LZ4F_compressUpdate(e->lz4, output, capacity, input, in, NULL);
    return LZ4F_isError(result) ? step : (ccodecs_step){in, result, CCODECS_MORE};
  }
  if (!finish) return (ccodecs_step){0, 0, CCODECS_MORE};
  result = LZ4F_compressEnd(e->lz4, output, capacity, NULL);
  return LZ4F_isError(result) ? step : (ccodecs_step){0, result, CCODECS_WHOLE};
}

static ccodecs_step zstd_step(
  ccodecs_encoder *e, const void *input, size_t count, void *output, size_t capacity, int finish) {
  ZSTD_inBuffer in = {input, count, 0};
  ZSTD_outBuffer out = {output, capacity, 0};
  size_t rest = ZSTD_compressStream2(e->zstd, &out, &in, finish ? ZSTD_e_end : ZSTD_e_continue);
  if (ZSTD_isError(rest)) return (ccodecs_step){0, 0, CCODECS_BROKEN};
  return (ccodecs_step){in.pos, out.pos, finish && rest == 0 ? CCODECS_WHOLE : CCODECS_MORE};
}

ccodecs_step ccodecs_encoder_step(
  ccodecs_encoder *e, const void *input, size_t count, void *output, size_t capacity, int finish) {
  switch (e->codec) {
    case CCODECS_GZIP: return gzip_step(e, input, count, output, capacity, finish);
    case CCODECS_LZ4: return lz4_step(e, input, count, output, capacity, finish);
    case CCODECS_ZSTD: return zstd_step(e, input, count, output, capacity, finish);
    default: return (ccodecs_step){0, 0, CCODECS_BROKEN};
  }
}

size_t ccodecs_snappy_encoded_max(size_t count) { return snappy_max_compressed_length(count); }

size_t ccodecs_snappy_encode(const void *input, size_t count, void *output, size_t capacity) {
  size_t length = capacity;
  return snappy_compress(input, count, output, &length) == SNAPPY_OK ? length : 0;
}
