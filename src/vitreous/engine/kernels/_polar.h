// What the bindings and the per-instruction-set copies of the polar kernel share.
#pragma once
#include <cstdint>
#include <vector>

namespace vitreous {

// Slices of many directions as coefficients of few functions of each angular frequency.
struct Coefficients {
  int n_orders;
  const int32_t* row;     // [order]: where the frequency goes, folded into 0 .. n_psi / 2
  const float* sign;      // [order]: -1 where folding turned it round
  const int32_t* odd;     // [order]: whether its products stand among the odd ones
  const int32_t* column;  // [order]: where its products begin: real parts, then imaginary parts
  const int32_t* count;   // [order]: functions of it
  int64_t n_functions;    // of all
  int64_t n_tiles;        // of sixteen directions
  const float* values;    // [tile][function][real, imaginary][16]
};

// Factors of a sum over frequencies for a quarter (n_psi even) or a half of all in-plane angles.
struct Turning {
  int n_psi;
  const float *cosine, *sine;  // [j][frequency], n_psi / 2 + 1 numbers a row
};

// One image in all its shifts.
struct Turned {
  int64_t n_shifts;
  const float *even, *odd;      // [shift][...] products with the functions
  int64_t n_even, n_odd;        // length of their rows
  const float* base;            // [psi][tile][16]: log priors without that of the shift, less powers
  const float* shift_prior;     // [class][shift]
  const int32_t* of_class;      // [tile * 16]
};

// What is kept: a fraction of the weight, nothing more than `lost` nat below the best, at most so many.
struct Threshold {
  double fraction;
  float lost;
  int64_t most;
};

struct Found {
  std::vector<int64_t> index;  // (direction * n_psi + psi) * n_shifts + shift, rising
  std::vector<float> weight;
  float largest, log_sum;
};

struct PolarWork {  // of one thread
  std::vector<float> rows, out, kept;
  std::vector<int64_t> tile;  // shift * n_tiles + tile of each block in `kept`
  std::vector<int32_t> chosen;
};

#define VITREOUS_DECLARE(isa)                                                                     \
  namespace isa {                                                                                 \
  void search_image(const Coefficients&, const Turning&, const Turned&, const Threshold&,         \
                    PolarWork&, Found&);                                                          \
  }
VITREOUS_DECLARE(generic)
#if defined(__x86_64__)
VITREOUS_DECLARE(v3)
VITREOUS_DECLARE(v4)
#endif
#undef VITREOUS_DECLARE

}  // namespace vitreous
