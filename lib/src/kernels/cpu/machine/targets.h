#pragma once

// The instruction sets that the kernels are compiled for, chosen among when the program runs:
// AVX-512, AVX2 and a portable path (NEON on Arm). Those in between would lengthen the build and
// serve nobody; vectors without a fixed size fit in no array. To be included before Highway's own
// headers.
#ifdef UNROLL_WITHOUT_AVX512  // sanitizers' builds: AVX2's code with longer vectors, and assembly
#define UNROLL_DISABLED_TARGETS (HWY_AVX3 | HWY_AVX3_DL)
#else
#define UNROLL_DISABLED_TARGETS 0
#endif
#define HWY_DISABLED_TARGETS                                                          \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV | \
   UNROLL_DISABLED_TARGETS)

/// Whether a file is being compiled for AVX-512, of which Highway has more than one kind: for
/// `#if`, after its headers.
#define UNROLL_AVX512 (HWY_ARCH_X86_64 && HWY_TARGET <= HWY_AVX3)
