#pragma once

// What the kernels use of CUDA's threads, blocks and clusters. Tests define the same names on the
// CPU (tests/emulation/simt_on_cpu.h).
#ifndef __CUDACC_RTC__
#include "emulation/simt_on_cpu.h"
#else

#include <cstdint>

// NVRTC has no <cmath>.
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fc00000)

#define UNROLL_DEVICE __device__ __forceinline__

/// So many blocks of so many threads find registers in a multiprocessor.
#define UNROLL_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define UNROLL_LOOP _Pragma("unroll")

namespace unroll::cuda {

UNROLL_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
UNROLL_DEVICE int block_index() { return static_cast<int>(blockIdx.x); }
UNROLL_DEVICE int block_count() { return static_cast<int>(gridDim.x); }

/// The block's dynamic shared memory.
UNROLL_DEVICE float* shared_memory() {
  extern __shared__ float4 memory[];
  return reinterpret_cast<float*>(memory);
}

/// Waits for all threads of the block, which then see each other's writes.
UNROLL_DEVICE void sync_block() { __syncthreads(); }

/// Likewise for the cluster.
UNROLL_DEVICE void sync_cluster() {
#if __CUDA_ARCH__ >= 900
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
#endif
}

/// Prepares a barrier in shared memory that counts arriving bytes (PTX: mbarrier).
UNROLL_DEVICE void init_arrivals(uint64_t* arrivals) {
#if __CUDA_ARCH__ >= 900
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(arrivals));
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(address) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

/// One thread announces how many bytes arrive in this phase, before or after they do.
UNROLL_DEVICE void expect_arrivals(uint64_t* arrivals, int bytes) {
#if __CUDA_ARCH__ >= 900
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(arrivals));
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(address),
               "r"(bytes)
               : "memory");
#endif
}

/// Waits until all expected bytes have arrived. `parity` of the phase: 0, 1, 0, ...
UNROLL_DEVICE void wait_for_arrivals(uint64_t* arrivals, unsigned parity) {
#if __CUDA_ARCH__ >= 900
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(arrivals));
  uint32_t done = 0;
  while (done == 0) {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}\n"
        : "=r"(done)
        : "r"(address), "r"(parity)
        : "memory");
  }
#endif
}

UNROLL_DEVICE uint32_t bits_of(float value) { return __float_as_uint(value); }
UNROLL_DEVICE uint32_t bits_of(uint32_t value) { return value; }

/// Stores a word of 4 bytes at the place of `mine` in the shared memory of another block of the
/// cluster, and counts its bytes on that block's barrier. Does not wait.
template <typename Word>
UNROLL_DEVICE void store_in_cluster(Word* mine, uint64_t* arrivals, int rank, Word value) {
#if __CUDA_ARCH__ >= 900
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(mine));
  const auto on = static_cast<uint32_t>(__cvta_generic_to_shared(arrivals));
  asm volatile(
      "{\n"
      ".reg .b32 to, on;\n"
      "mapa.shared::cluster.u32 to, %0, %2;\n"
      "mapa.shared::cluster.u32 on, %1, %2;\n"
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [to], %3, [on];\n"
      "}\n" ::"r"(to),
      "r"(on), "r"(rank), "r"(bits_of(value))
      : "memory");
#endif
}

/// The value that another lane of the warp gives: the one whose index differs by these bits. All
/// lanes call it.
template <typename Value>
UNROLL_DEVICE Value shuffle_xor(Value value, int bits) {
  return __shfl_xor_sync(0xFFFFFFFFU, value, bits);
}

/// Two numbers rounded to bf16, side by side.
UNROLL_DEVICE uint32_t round_to_bf16(float low, float high) {
  uint32_t both = 0;
#if __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
#endif
  return both;
}

/// c += a b, by all lanes of a warp: a (16,16) and b (16,8) in bf16, c (16,8); each lane holds a
/// part of each (PTX: mma.m16n8k16).
UNROLL_DEVICE void multiply_tiles(const uint32_t (&a)[4], const uint32_t (&b)[2], float (&c)[4]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

/// Increments a count that other blocks wait for. A block that sees it also sees what this block
/// wrote before its last sync_block().
UNROLL_DEVICE void arrive(unsigned* count) {
  __threadfence();
  atomicAdd(count, 1U);
}

/// Waits until `count` has reached `target`.
UNROLL_DEVICE void wait_for(const unsigned* count, unsigned target) {
  unsigned seen = 0;
  do {
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(count) : "memory");
  } while (static_cast<int>(seen - target) < 0);
}

/// Increments a count that nobody waits for any more. It is 0 again when it reaches `last`.
UNROLL_DEVICE void leave(unsigned* count, unsigned last) {
  if (atomicAdd(count, 1U) + 1U == last) {
    atomicExch(count, 0U);
  }
}

/// For one thread of each of so many blocks: whether all others have called it. Its block then sees
/// what theirs wrote before their last sync_block(). The count is 0 again after it.
UNROLL_DEVICE bool is_last_arrival(unsigned* count, unsigned blocks) {
  __threadfence();
  const bool is_last = atomicInc(count, blocks - 1) == blocks - 1;
  __threadfence();
  return is_last;
}

/// Bypass the first-level cache, for memory that other blocks write while the kernel runs.
UNROLL_DEVICE float4 load_of_blocks(const float4* from) { return __ldcg(from); }
UNROLL_DEVICE float load_of_blocks(const float* from) { return __ldcg(from); }
UNROLL_DEVICE double load_of_blocks(const double* from) { return __ldcg(from); }
UNROLL_DEVICE void store_for_blocks(float* to, float value) { __stcg(to, value); }
UNROLL_DEVICE void store_for_blocks(uint32_t* to, uint32_t value) { __stcg(to, value); }

}  // namespace unroll::cuda

#endif
