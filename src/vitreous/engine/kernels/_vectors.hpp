// Sixteen numbers at a time; included once per instruction set.
#pragma once
#include <cstdint>
#include <cstring>

namespace vitreous::VITREOUS_ISA {
namespace {

typedef float f16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t i16 __attribute__((vector_size(64), aligned(4), may_alias));
constexpr int kWide = 16;

inline f16 at(const float* p) {
  f16 value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
inline void put(float* p, f16 value) { std::memcpy(p, &value, sizeof value); }
inline f16 all(float x) { return x - f16{}; }

}  // namespace
}  // namespace vitreous::VITREOUS_ISA
