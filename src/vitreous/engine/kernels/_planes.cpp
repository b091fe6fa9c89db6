// Fourier transforms of the planes of a map and of its columns along z, several columns at a time, in
// single and in double precision. The reference is in planes.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "_isa.h"

namespace nb = nanobind;

namespace {

#define INLINE inline __attribute__((always_inline))

constexpr int W = 8;  // lanes of a vector
constexpr double TAU = 6.283185307179586476925;
constexpr int kLargestPrime = 43;

// The next radix for a length above 1, or a number above the largest prime where there is none.
int radix_of(int n) {
  for (int p : {4, 5, 3, 7, 2})
    if (n % p == 0) return p;
  int p = 11;
  while (p <= kLargestPrime && n % p) p += 2;
  return p;
}

bool is_quick(int n) {
  if (n < 1) return false;
  while (n > 1) {
    const int radix = radix_of(n);
    if (radix > kLargestPrime) return false;
    n /= radix;
  }
  return true;
}

constexpr int64_t kFew = 1 << 15;      // numbers that are not worth a second thread
constexpr int64_t kInCache = 1 << 20;  // a plane of more is shared between threads

int groups(int64_t n) { return int((n + W - 1) / W); }

int part(int whole, int group) { return std::min(W, whole - W * group); }

namespace single {
using Number = float;
#include "_stockham.hpp"
#include "_planes.hpp"
}  // namespace single

namespace twofold {
using Number = double;
#include "_stockham.hpp"
#include "_planes.hpp"
}  // namespace twofold

EVERY_ISA void add_product(float* total, int side, const float* one, int64_t one_stride,
                           const float* factor, int64_t factor_stride, int size) {
  for (int y = 0; y < size; ++y) {
    float* to = total + int64_t(y % side) * side;
    for (int first = 0; first < size; first += side) {
      const float *a = one + y * one_stride + first, *b = factor + y * factor_stride + first;
      for (int x = 0; x < side; ++x) to[x] += a[x] * b[x];
    }
  }
}

using Plane = nb::ndarray<const float, nb::ndim<2>, nb::device::cpu>;

void add_folded(nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> total, Plane one,
                Plane factor) {
  const int side = int(total.shape(0)), size = int(one.shape(0));
  for (const Plane* plane : {&one, &factor})
    if (int(plane->shape(0)) != size || int(plane->shape(1)) != size || plane->stride(1) != 1)
      throw std::invalid_argument("add_folded: wanted two planes of one size, rows in one piece");
  if (int(total.shape(1)) != side || side == 0 || size % side)
    throw std::invalid_argument("add_folded: the planes do not fold onto the sum");
  nb::gil_scoped_release release;
  add_product(total.data(), side, one.data(), one.stride(0), factor.data(), factor.stride(0), size);
}

// On vectors that are made up of shorter ones the compiler exchanges lanes one by one.
bool is_wide(int bytes) {
  const vitreous::Isa best = vitreous::best_isa();
  return HAS_EVERY_ISA &&
         (best == vitreous::Isa::v4 || (bytes <= 4 && best == vitreous::Isa::v3));
}

}  // namespace

NB_MODULE(_planes, m) {
  m.doc() = "Fourier transforms of planes and columns of maps on the CPU.";
  m.def("is_quick", &is_quick, nb::arg("n"), "Whether a length has no prime factor above 7.");
  single::bind(m);
  twofold::bind(m);
  m.def("is_wide", &is_wide, nb::arg("bytes"),
        "Whether the machine has vectors of eight such numbers; without, torch is faster.");
  m.def("add_folded", &add_folded, nb::arg("total"), nb::arg("one"), nb::arg("factor"));
}
