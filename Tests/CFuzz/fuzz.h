// libFuzzer's entry for programs with a main of their own (part of the compiler's runtime, linked by -sanitize=fuzzer).
#ifndef QUIRE_FUZZ_H
#define QUIRE_FUZZ_H
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*target)(const uint8_t *bytes, size_t count));

#endif
