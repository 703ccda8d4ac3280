internal import CCodecs

/// Compresses one page after another with zstd; keeps the codec's context. Used by one thread at a time.
final class ZstdCompressor {
  private let encoder: OpaquePointer?

  init() { encoder = ccodecs_encoder_create() }
  deinit { ccodecs_encoder_destroy(encoder) }

  /// Replaces `output` by one frame that holds `input`.
  func compress(_ input: [UInt8], into output: inout [UInt8]) throws(ExportError) {
    guard let encoder, ccodecs_encoder_begin(encoder, Int32(CCODECS_ZSTD)) == 0 else { throw .record("out of memory") }
    let room = ccodecs_encoder_output_min()
    // What incompressible bytes become, so that nearly always one step is enough.
    let needed = input.count + input.count >> 7 + 1024 + room
    if output.count < needed { output = [UInt8](repeating: 0, count: needed) }
    var taken = 0
    var written = 0
    while true {
      if output.count - written < room { output.append(contentsOf: repeatElement(0, count: output.count)) }
      let step = input.withUnsafeBytes { input in
        output.withUnsafeMutableBytes { output in
          ccodecs_encoder_step(
            encoder, input.baseAddress.map { $0 + taken }, input.count - taken, output.baseAddress! + written,
            output.count - written, 1)
        }
      }
      guard step.status >= 0 else { throw .record("out of memory") }
      taken += step.consumed
      written += step.produced
      if step.status == Int32(CCODECS_WHOLE) { break }
    }
    output.removeLast(output.count - written)
  }
}
