// The instruction sets that kernels are compiled for, and the best that this machine has.
#pragma once

// Before a function: one copy of it per instruction set, chosen by the loader.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#define EVERY_ISA __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define HAS_EVERY_ISA true
#else
#define EVERY_ISA
#define HAS_EVERY_ISA false
#endif

namespace vitreous {

enum class Isa { generic, v3, v4 };

inline Isa best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("f16c");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (v4) return Isa::v4;
  if (v3) return Isa::v3;
#endif
  return Isa::generic;
}

}  // namespace vitreous
