// C side of the codecs: CRC32C with the processor's instruction, and the system's compression libraries behind one streaming step.
#ifndef QUIRE_CCODECS_H
#define QUIRE_CCODECS_H
#include <stddef.h>
#include <stdint.h>

/// CRC32C (Castagnoli) of `count` bytes, continuing from `crc` (0 to begin). No allocation; nothing is retained.
uint32_t ccodecs_crc32c(uint32_t crc, const void *bytes, size_t count);

/// The codecs that are streams, with Kafka's numbers (batch attributes, bits 0-2).
enum { CCODECS_GZIP = 1, CCODECS_LZ4 = 3, CCODECS_ZSTD = 4 };

/// What one step did. The bytes given to a step are not retained after it returns.
typedef struct {
  size_t consumed;  ///< bytes read from the input
  size_t produced;  ///< bytes written to the output
  int status;       ///< one of CCODECS_MORE, CCODECS_WHOLE, CCODECS_BROKEN
} ccodecs_step;
enum {
  CCODECS_MORE = 0,    ///< inside a frame: give more input or more room
  CCODECS_WHOLE = 1,   ///< a frame (gzip member) has ended and all of it was written out; another may follow
  CCODECS_BROKEN = -1  ///< not this codec's format, or no memory; begin again before the next use
};

/// Decompression contexts of all stream codecs, made when first needed and kept for reuse. One user at a time.
typedef struct ccodecs_decoder ccodecs_decoder;
/// A few bytes on the heap, owned by the caller; NULL without memory.
ccodecs_decoder *ccodecs_decoder_create(void);
void ccodecs_decoder_destroy(ccodecs_decoder *decoder);
/// Starts a stream: returns 0, or CCODECS_BROKEN for want of memory or for an unknown codec.
int ccodecs_decoder_begin(ccodecs_decoder *decoder, int codec);
/// Decompresses as much as fits. zlib keeps a 32 KiB window, lz4 two blocks of the frame's block size (at most 4 MiB each),
/// zstd the frame's window (at most 128 MiB, touched only as far as bytes are produced).
ccodecs_step ccodecs_decoder_step(ccodecs_decoder *decoder, const void *input, size_t count, void *output, size_t capacity);
/// Frees contexts that a frame with large blocks or a large window has made large.
void ccodecs_decoder_trim(ccodecs_decoder *decoder);

/// Compression contexts likewise.
typedef struct ccodecs_encoder ccodecs_encoder;
ccodecs_encoder *ccodecs_encoder_create(void);
void ccodecs_encoder_destroy(ccodecs_encoder *encoder);
/// Starts one frame at the codec's default level.
int ccodecs_encoder_begin(ccodecs_encoder *encoder, int codec);
/// The least room that every call of `ccodecs_encoder_step` must be given.
size_t ccodecs_encoder_output_min(void);
/// Compresses some of the input; with `finish`, ends the frame when all input is consumed and then answers CCODECS_WHOLE.
ccodecs_step ccodecs_encoder_step(
  ccodecs_encoder *encoder, const void *input, size_t count, void *output, size_t capacity, int finish);

/// The decoded size that a snappy block declares: 0 on success, else CCODECS_BROKEN.
int ccodecs_snappy_decoded_count(const void *input, size_t count, size_t *decoded);
/// Decodes one snappy block into exactly the bytes it declares; 0, or CCODECS_BROKEN.
int ccodecs_snappy_decode(const void *input, size_t count, void *output, size_t decoded);
/// Room that one snappy block of `count` bytes may need when encoded.
size_t ccodecs_snappy_encoded_max(size_t count);
/// Encodes one snappy block; returns its size. Allocates and frees its hash table (at most 32 KiB).
size_t ccodecs_snappy_encode(const void *input, size_t count, void *output, size_t capacity);

#endif
