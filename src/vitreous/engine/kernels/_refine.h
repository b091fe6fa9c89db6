// What the bindings and the per-instruction-set copies of the refinement kernels share.
#pragma once
#include <cstdint>
#include <vector>

#include "_slices.h"

namespace vitreous {

// The half plane inside a circle, row by row in FFT order, each row padded to whole vectors.
struct Disc {
  int n_rows, width;       // rows; numbers of the longest row, padded
  int64_t length;          // numbers of an image
  const int64_t* offsets;  // of each row
  const int* reach;        // column block b exists in rows with |ky| <= reach[b]
};

// exp(-2 pi i k t / n) for every shift t of an axis.
struct Phases {
  const float *x_re, *x_im;  // [shift][kx]
  const float *y_re, *y_im;  // [shift][row]
};

// Where slices come from: a table, or volumes that are sliced when needed.
struct Slices {
  Geometry geometry;
  const float* table;           // [rotation][length] complex, or null
  const float* const* volumes;  // of each class
  const uint16_t* const* corners;  // the same with neighbours in half precision, or null
  const float* units;              // what undoes their power of two
  const float* planes;          // [rotation][3][2]
  const int32_t* classes;       // of each rotation
};

struct Kept {
  int32_t rotation;
  int16_t tx, ty;  // numbers of fine shifts
  float weight;
};

struct Outcome {
  float largest, log_sum;  // of the log weights
  int64_t n_tried;
  Kept best;
};

// Hypotheses of an image: groups of rotations that share a list of shifts.
struct Hypotheses {
  int64_t n_groups;
  const int32_t* rotation;   // [group], times `rotation_children`
  const float* prior;        // [group], log
  const int64_t *begin, *end;  // [group], of its list of shifts
  const int16_t *tx, *ty;    // coarse
  const float* shift_prior;  // log
  int rotation_children, shift_children;  // the latter along each axis
};

struct Selection {
  float fraction;
  int64_t most;  // at most so many; 0 for no limit
  bool correlation;  // cross-correlation: only the best, its log weight the coefficient
};

// Images as the score sees them: z = b conj(P), and power c |P|^2 / 2.
struct Scored {
  const float *b_re, *b_im, *c;
};

// What images give to the sums.
struct Summed {
  const float *b_re, *b_im, *c;  // as scored; null to leave statistics out
  const float *u_re, *u_im, *m;  // to the reference
  const float* sigma2;           // [group][length]
  const float* mask;             // [class][length], pixels that tell the scale
  const int32_t* groups;         // optics group of each image
  bool residual;                 // gradient: what the reference does not explain
};

struct Strip {  // rows [first, last) of a disc, and where their numbers are
  int first, last;
  int64_t begin, end;
};

struct Work {  // of one thread
  std::vector<float> slice, z_re, z_im, v, q, a_re, a_im, n_re, n_im, w, scores, powers;
  std::vector<Strip> strips;
  std::vector<int64_t> first;
  std::vector<int32_t> chosen;
};

#define VITREOUS_DECLARE(isa)                                                                     \
  namespace isa {                                                                                 \
  void score_image(const Disc&, const Phases&, const Slices&, const Scored&, const Hypotheses&,  \
                   const Selection&, Work&, std::vector<Kept>&, Outcome&);                       \
  void strips_of(const Disc&, const Slices&, std::vector<Strip>&);                               \
  void sum_strip(const Disc&, const Strip&, const Phases&, const Slices&, const Summed&,         \
                 int64_t rotation, int64_t n, const int32_t* image, const int16_t* tx,           \
                 const int16_t* ty, const float* weight, Work&, float* values, float* weights,   \
                 double* per_image, float* per_pixel);                                            \
  void select(float* scores, int64_t n, const Selection&, std::vector<int32_t>& chosen,          \
              float& largest, float& log_sum);                                                    \
  void add_priors(float* scores, int64_t n_shifts, int64_t n_classes, int64_t n_rotations,       \
                  const float* power, const float* rotation_prior, const float* shift_prior,      \
                  float correlation);                                                             \
  }
VITREOUS_DECLARE(generic)
#if defined(__x86_64__)
VITREOUS_DECLARE(v3)
VITREOUS_DECLARE(v4)
#endif
#undef VITREOUS_DECLARE

}  // namespace vitreous
