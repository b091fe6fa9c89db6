// Scores of poses and sums over them, image by image and rotation by rotation.
//
// A shift multiplies a transform by exp(-2 pi i (kx tx + ky ty) / n), a product of two factors: the
// rows of z = image x conj(slice) are summed once for every ty, and each tx then costs one row. With
// a few shifts along each axis this needs less arithmetic than a matrix product over all shifts, and
// works on the list of hypotheses of each image without padding it to a block.
//
// Compiled once per instruction set, after _slices.hpp.

#include <algorithm>
#include <cmath>
#include <cstring>

#include "_refine.h"
#include "_select.hpp"
#include "_vectors.hpp"

namespace vitreous::VITREOUS_ISA {
namespace {

constexpr int kTogether = 4;     // shifts worked on at a time
constexpr int64_t kStrip = 2048;  // pixels of a slice whose surroundings stay in 1 MB of cache
constexpr int64_t kStripOfCorners = 2048;
constexpr float kLost = 25.f;    // weights below exp(-25) of the best are not looked at

// The totals of four vectors, folded together.
inline void totals(f16 a, f16 b, f16 c, f16 d, float* out) {
  constexpr i16 low8 = {0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23};
  constexpr i16 high8 = {8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31};
  constexpr i16 low4 = {0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27};
  constexpr i16 high4 = {4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31};
  constexpr i16 other2 = {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13};
  constexpr i16 other1 = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14};
  const f16 ab = __builtin_shuffle(a, b, low8) + __builtin_shuffle(a, b, high8);
  const f16 cd = __builtin_shuffle(c, d, low8) + __builtin_shuffle(c, d, high8);
  f16 all4 = __builtin_shuffle(ab, cd, low4) + __builtin_shuffle(ab, cd, high4);
  all4 += __builtin_shuffle(all4, other2);
  all4 += __builtin_shuffle(all4, other1);
  for (int i = 0; i < 4; ++i) out[i] = all4[4 * i];
}

inline float total(f16 v) {
  float out[4];
  totals(v, v, v, v, out);
  return out[0];
}

// Split 16 complex numbers into real and imaginary parts.
inline void split(const float* p, f16& re, f16& im) {
  const f16 low = at(p), high = at(p + kWide);
  re = __builtin_shuffle(low, high, i16{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30});
  im = __builtin_shuffle(low, high, i16{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31});
}

inline void join(float* p, f16 re, f16 im) {
  put(p, __builtin_shuffle(re, im, i16{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23}));
  put(p + kWide,
      __builtin_shuffle(re, im, i16{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31}));
}

inline Strip whole(const Disc& disc) { return {0, disc.n_rows, 0, disc.length}; }

// Cut a disc into strips of about so many numbers. Slices of one image lie close together: strip by
// strip, all of them find in the cache what the first has fetched.
void cut(const Disc& disc, int64_t length, std::vector<Strip>& strips) {
  const int64_t n = std::max<int64_t>(1, (disc.length + length / 2) / length);
  strips.clear();
  for (int y = 0; y < disc.n_rows;) {
    const int64_t begin = disc.offsets[y], wanted = (strips.size() + 1) * disc.length / n;
    while (y < disc.n_rows && disc.offsets[y] < wanted) ++y;
    const int first = strips.empty() ? 0 : strips.back().last;
    strips.push_back({first, y, begin, y < disc.n_rows ? disc.offsets[y] : disc.length});
  }
}

// Rows of a slice, where they are in the whole of it.
const float* slice_of(const Disc& disc, const Slices& from, int64_t rotation, const Strip& strip,
                      Work& work) {
  if (from.table != nullptr) return from.table + 2 * disc.length * rotation;
  // Gathering leaves the padding of rows as it is, and what lies outside the sphere.
  std::vector<float>& slice = work.slice;
  const float* plane = from.planes + 6 * rotation;
  if (static_cast<int64_t>(slice.size()) != 2 * disc.length) slice.assign(2 * disc.length, 0.f);
  else if (!Slice(from.geometry, plane, 0).inside)
    std::fill(slice.begin() + 2 * strip.begin, slice.begin() + 2 * strip.end, 0.f);
  const int32_t of_class = from.classes[rotation];
#if defined(__F16C__)
  if (from.corners != nullptr) {
    gather_rows_packed(from.geometry, from.corners[of_class], from.units[of_class], plane, 0,
                       strip.first, strip.last, slice.data());
    return slice.data();
  }
#endif
  gather_rows(from.geometry, from.volumes[of_class], plane, 0, strip.first, strip.last,
              slice.data());
  return slice.data();
}

// Call `use(offset of the row, row)` for the rows of a strip that have column block b.
template <class Use>
inline void rows_of_block(const Disc& disc, const Strip& strip, int b, const Use& use) {
  const int reach = disc.reach[b], half = disc.n_rows / 2;
  for (int y = strip.first; y < std::min(std::min(reach, half) + 1, strip.last); ++y)
    use(disc.offsets[y], y);
  for (int y = std::max(disc.n_rows - std::min(reach, half - 1), strip.first); y < strip.last; ++y)
    use(disc.offsets[y], y);
}

template <int kShifts>
inline void sum_rows(const Disc& disc, const Strip& strip, const Phases& phases, const int16_t* ty,
                     const float* z_re, const float* z_im, float* v) {
  const float *y_re[kShifts], *y_im[kShifts];
  for (int j = 0; j < kShifts; ++j) {
    y_re[j] = phases.y_re + int64_t(ty[j]) * disc.n_rows;
    y_im[j] = phases.y_im + int64_t(ty[j]) * disc.n_rows;
  }
  for (int b = 0; b < disc.width / kWide; ++b) {
    f16 re[kShifts] = {}, im[kShifts] = {};
    rows_of_block(disc, strip, b, [&](int64_t offset, int y) {
      const f16 zr = at(z_re + offset + b * kWide), zi = at(z_im + offset + b * kWide);
      for (int j = 0; j < kShifts; ++j) {
        re[j] += zr * y_re[j][y];
        im[j] += zr * y_im[j][y];
        re[j] -= zi * y_im[j][y];
        im[j] += zi * y_re[j][y];
      }
    });
    for (int j = 0; j < kShifts; ++j) {
      put(v + (2 * j) * disc.width + b * kWide, re[j]);
      put(v + (2 * j + 1) * disc.width + b * kWide, im[j]);
    }
  }
}

template <int kShifts>
inline void spread_rows(const Disc& disc, const Strip& strip, const Phases& phases,
                        const int16_t* ty, const float* q, bool first, float* a_re, float* a_im) {
  const float *y_re[kShifts], *y_im[kShifts];
  for (int j = 0; j < kShifts; ++j) {
    y_re[j] = phases.y_re + int64_t(ty[j]) * disc.n_rows;
    y_im[j] = phases.y_im + int64_t(ty[j]) * disc.n_rows;
  }
  for (int b = 0; b < disc.width / kWide; ++b) {
    f16 qr[kShifts], qi[kShifts];
    for (int j = 0; j < kShifts; ++j) {
      qr[j] = at(q + (2 * j) * disc.width + b * kWide);
      qi[j] = at(q + (2 * j + 1) * disc.width + b * kWide);
    }
    rows_of_block(disc, strip, b, [&](int64_t offset, int y) {
      float *to_re = a_re + offset + b * kWide, *to_im = a_im + offset + b * kWide;
      f16 re = first ? f16{} : at(to_re), im = first ? f16{} : at(to_im);
      for (int j = 0; j < kShifts; ++j) {
        re += qr[j] * y_re[j][y];
        im += qr[j] * y_im[j][y];
        re -= qi[j] * y_im[j][y];
        im += qi[j] * y_re[j][y];
      }
      put(to_re, re);
      put(to_im, im);
    });
  }
}

// Run a function of a compile-time number of shifts over a list of any length.
#define VITREOUS_BY_SHIFTS(function, n, ...)  \
  switch (n) {                                \
    case 1: function<1>(__VA_ARGS__); break;  \
    case 2: function<2>(__VA_ARGS__); break;  \
    case 3: function<3>(__VA_ARGS__); break;  \
    default: function<4>(__VA_ARGS__); break; \
  }

// The fine shifts along y that a list of coarse ones needs, each once; `place` tells where.
inline int needed_shifts(const Hypotheses& h, int64_t begin, int64_t end, int16_t* list,
                         int16_t* place) {
  int n = 0;
  for (int64_t s = begin; s < end; ++s) {
    const int first = h.ty[s] * h.shift_children;
    bool known = false;
    for (int i = 0; i < n && !known; i += h.shift_children) known = list[i] == first;
    if (known) continue;
    for (int c = 0; c < h.shift_children; ++c) {
      place[first + c] = static_cast<int16_t>(n);
      list[n++] = static_cast<int16_t>(first + c);
    }
  }
  return n;
}

constexpr int kMostShifts = 1024;  // fine shifts along an axis

}  // namespace

// Turn the cross terms of one image into log weights; rotations are those of all classes.
void add_priors(float* scores, int64_t n_shifts, int64_t n_classes, int64_t n_rotations,
                const float* power, const float* rotation_prior, const float* shift_prior,
                float correlation) {
  const int64_t n = n_classes * n_rotations;
  for (int64_t t = 0; t < n_shifts; ++t) {
    float* row = scores + t * n;
    if (correlation > 0.f) {
      for (int64_t r = 0; r < n; ++r) {
        row[r] *= correlation / std::sqrt(std::max(2.f * power[r], 1e-30f));
        if (rotation_prior[r] == -INFINITY) row[r] = -INFINITY;
      }
      continue;
    }
    for (int64_t k = 0; k < n_classes; ++k) {
      const float prior = shift_prior[k * n_shifts + t];
      for (int64_t r = k * n_rotations; r < (k + 1) * n_rotations; ++r)
        row[r] += prior + rotation_prior[r] - power[r];
    }
  }
}

// Choose the fewest hypotheses that hold a fraction of the weight. `scores` become weights relative
// to the whole where they were chosen.
void select(float* scores, int64_t n, const Selection& how, std::vector<int32_t>& chosen,
            float& largest, float& log_sum) {
  chosen.clear();
  largest = -INFINITY;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, scores[i]);
  log_sum = largest;
  if (!std::isfinite(largest)) return;
  if (!how.correlation) {
    significant(scores, n, how.fraction, kLost, how.most, largest, chosen, log_sum);
    return;
  }
  const auto where = static_cast<int32_t>(std::find(scores, scores + n, largest) - scores);
  chosen.push_back(where);
  scores[where] = 1.f;
}

void score_image(const Disc& disc, const Phases& phases, const Slices& from, const Scored& image,
                 const Hypotheses& h, const Selection& how, Work& work, std::vector<Kept>& kept,
                 Outcome& outcome) {
  const int64_t length = disc.length;
  const int nc = h.shift_children, width = disc.width;
  work.z_re.resize(length);
  work.z_im.resize(length);
  work.first.resize(h.n_groups + 1);
  int64_t count = 0;
  for (int64_t g = 0; g < h.n_groups; ++g) {
    work.first[g] = count;
    count += (h.end[g] - h.begin[g]) * h.rotation_children * nc * nc;
  }
  work.first[h.n_groups] = count;
  work.scores.resize(count);
  int16_t list[kMostShifts], place[kMostShifts];
  double image_power = 0;
  if (how.correlation)
    for (int64_t i = 0; i < length; ++i)
      if (image.c[i] > 0)
        image_power += (double(image.b_re[i]) * image.b_re[i] + double(image.b_im[i]) * image.b_im[i]) /
                       image.c[i];
  const int64_t n_rotations = h.n_groups * h.rotation_children;
  work.powers.assign(n_rotations, 0.f);
  strips_of(disc, from, work.strips);
  for (const Strip& strip : work.strips) {
    const bool first_strip = strip.first == 0;
    float *score = work.scores.data(), *power = work.powers.data();
    for (int64_t g = 0; g < h.n_groups; ++g) {
      const int64_t begin = h.begin[g], end = h.end[g];
      const int n_y = needed_shifts(h, begin, end, list, place);
      if (static_cast<int64_t>(work.v.size()) < 2ll * width * (n_y + kTogether))
        work.v.resize(2ll * width * (n_y + kTogether));
      for (int child = 0; child < h.rotation_children; ++child) {
        const int64_t rotation = int64_t(h.rotation[g]) * h.rotation_children + child;
        const float* slice = slice_of(disc, from, rotation, strip, work);
        float *z_re = work.z_re.data(), *z_im = work.z_im.data();
        f16 powers = {};
        for (int64_t i = strip.begin; i < strip.end; i += kWide) {
          f16 pr, pi;
          split(slice + 2 * i, pr, pi);
          const f16 br = at(image.b_re + i), bi = at(image.b_im + i);
          put(z_re + i, br * pr + bi * pi);
          put(z_im + i, bi * pr - br * pi);
          powers += at(image.c + i) * (pr * pr + pi * pi);
        }
        *power += 0.5f * total(powers);
        if (first_strip && !how.correlation) {  // the grey level of an image says nothing about its pose
          *power -= 0.5f * image.c[0] * (slice[0] * slice[0] + slice[1] * slice[1]);
          z_re[0] = z_im[0] = 0.f;
        }
        ++power;
        for (int j = 0; j < n_y; j += kTogether) {
          VITREOUS_BY_SHIFTS(sum_rows, std::min(kTogether, n_y - j), disc, strip, phases, list + j,
                             z_re, z_im, work.v.data() + 2ll * width * j)
        }
        for (int64_t s = begin; s < end; ++s) {
          // Four children at a time: with two shifts along each axis these are all of them.
          for (int first = 0; first < nc * nc; first += kTogether) {
            const int n = std::min(kTogether, nc * nc - first);
            f16 sum[kTogether] = {};
            for (int j = 0; j < n; ++j) {
              const int jx = (first + j) / nc, jy = (first + j) % nc;
              const float* x_re = phases.x_re + int64_t(h.tx[s] * nc + jx) * width;
              const float* x_im = phases.x_im + int64_t(h.tx[s] * nc + jx) * width;
              const float* v = work.v.data() + 2ll * width * place[h.ty[s] * nc + jy];
              for (int i = 0; i < width; i += kWide) {
                sum[j] += at(v + i) * at(x_re + i);
                sum[j] -= at(v + width + i) * at(x_im + i);
              }
            }
            float found[kTogether];
            totals(sum[0], sum[1], sum[2], sum[3], found);
            for (int j = 0; j < n; ++j, ++score) *score = first_strip ? found[j] : *score + found[j];
          }
        }
      }
    }
  }
  float* score = work.scores.data();
  for (int64_t g = 0; g < h.n_groups; ++g)
    for (int child = 0; child < h.rotation_children; ++child) {
      const float power = work.powers[g * h.rotation_children + child];
      const double norm = std::sqrt(std::max(2.0 * power * image_power, 1e-30));
      for (int64_t s = h.begin[g]; s < h.end[g]; ++s) {
        const float base = h.prior[g] + h.shift_prior[s] - power;
        for (int j = 0; j < nc * nc; ++j, ++score)
          *score = how.correlation ? static_cast<float>(*score / norm) : base + *score;
      }
    }
  outcome.n_tried = count;
  outcome.best = {-1, 0, 0, 0.f};
  select(work.scores.data(), count, how, work.chosen, outcome.largest, outcome.log_sum);
  int64_t g = 0;
  for (int32_t i : work.chosen) {
    while (work.first[g + 1] <= i) ++g;
    const int64_t n_shifts = h.end[g] - h.begin[g];
    int64_t rest = i - work.first[g];
    const int jy = static_cast<int>(rest % nc);
    rest /= nc;
    const int jx = static_cast<int>(rest % nc);
    rest /= nc;
    const int64_t s = h.begin[g] + rest % n_shifts;
    const int32_t rotation =
        static_cast<int32_t>(int64_t(h.rotation[g]) * h.rotation_children + rest / n_shifts);
    kept.push_back({rotation, static_cast<int16_t>(h.tx[s] * nc + jx),
                    static_cast<int16_t>(h.ty[s] * nc + jy), work.scores[i]});
    if (kept.back().weight > outcome.best.weight) outcome.best = kept.back();
  }
}

// The strips in which slices are gone through; a table has them whole.
void strips_of(const Disc& disc, const Slices& from, std::vector<Strip>& strips) {
  if (from.table != nullptr) strips.assign(1, whole(disc));
  else cut(disc, from.corners != nullptr ? kStripOfCorners : kStrip, strips);
}

// Sum a strip of all images that keep one rotation, and count statistics of them.
void sum_strip(const Disc& disc, const Strip& strip, const Phases& phases, const Slices& from,
               const Summed& images, int64_t rotation, int64_t n, const int32_t* image,
               const int16_t* tx, const int16_t* ty, const float* weight, Work& work, float* values,
               float* weights, double* per_image, float* per_pixel) {
  const int64_t length = disc.length;
  const int width = disc.width;
  for (std::vector<float>* v : {&work.a_re, &work.a_im}) v->resize(length);
  for (std::vector<float>* v : {&work.n_re, &work.n_im, &work.w}) {
    v->resize(length);
    std::fill(v->begin() + strip.begin, v->begin() + strip.end, 0.f);
  }
  const bool counts = images.b_re != nullptr;
  const float* slice = counts || images.residual ? slice_of(disc, from, rotation, strip, work) : nullptr;
  const float* mask = images.mask + length * from.classes[rotation];
  float *a_re = work.a_re.data(), *a_im = work.a_im.data();
  float *n_re = work.n_re.data(), *n_im = work.n_im.data(), *w = work.w.data();
  int16_t list[kMostShifts];
  for (int64_t first = 0; first < n;) {
    int64_t last = first;
    float sum = 0;
    while (last < n && image[last] == image[first]) sum += weight[last++];
    // Shifts of one ty share the rows of that ty: sum their factors along x first.
    int n_y = 0;
    for (int64_t s = first; s < last; ++s) {
      int j = 0;
      while (j < n_y && list[j] != ty[s]) ++j;
      const float* x_re = phases.x_re + int64_t(tx[s]) * width;
      const float* x_im = phases.x_im + int64_t(tx[s]) * width;
      if (static_cast<int64_t>(work.q.size()) < 2ll * width * (j + 1))
        work.q.resize(2ll * width * (j + 1));
      float *q_re = work.q.data() + 2ll * width * j, *q_im = q_re + width;
      const f16 share = all(weight[s]);
      if (j == n_y) {
        list[n_y++] = ty[s];
        for (int i = 0; i < width; i += kWide) {
          put(q_re + i, share * at(x_re + i));
          put(q_im + i, share * at(x_im + i));
        }
        continue;
      }
      for (int i = 0; i < width; i += kWide) {
        put(q_re + i, at(q_re + i) + share * at(x_re + i));
        put(q_im + i, at(q_im + i) + share * at(x_im + i));
      }
    }
    for (int j = 0; j < n_y; j += kTogether) {
      VITREOUS_BY_SHIFTS(spread_rows, std::min(kTogether, n_y - j), disc, strip, phases, list + j,
                         work.q.data() + 2ll * width * j, j == 0, a_re, a_im)
    }
    const int64_t base = int64_t(image[first]) * length;
    const float *u_re = images.u_re + base, *u_im = images.u_im + base, *m = images.m + base;
    const int group = images.groups[image[first]];
    const float* sigma2 = images.sigma2 + group * length;
    const float *b_re = nullptr, *b_im = nullptr, *c = nullptr;
    if (counts) b_re = images.b_re + base, b_im = images.b_im + base, c = images.c + base;
    float* pixels = per_pixel + group * length;
    f16 rest = {}, cross = {}, power = {};
    for (int64_t i = strip.begin; i < strip.end; i += kWide) {
      const f16 ar = at(a_re + i), ai = at(a_im + i), ur = at(u_re + i), ui = at(u_im + i);
      f16 nr = ar * ur - ai * ui, ni = ar * ui + ai * ur;
      const f16 added = sum * at(m + i);
      f16 pr = {}, pi = {};
      if (slice != nullptr) split(slice + 2 * i, pr, pi);
      if (images.residual) nr -= added * pr, ni -= added * pi;
      put(n_re + i, at(n_re + i) + nr);
      put(n_im + i, at(n_im + i) + ni);
      put(w + i, at(w + i) + added);
      if (!counts) continue;
      const f16 br = at(b_re + i), bi = at(b_im + i), s2 = at(sigma2 + i), use = at(mask + i);
      const f16 xa = s2 * (ar * (br * pr + bi * pi) - ai * (bi * pr - br * pi));
      const f16 aa = s2 * sum * at(c + i) * (pr * pr + pi * pi);
      const f16 left = aa - 2.f * xa;
      rest += left;
      cross += use * xa;
      power += use * aa;
      put(pixels + i, at(pixels + i) + left);
    }
    if (counts) {
      double* to = per_image + 3 * int64_t(image[first]);
      to[0] += total(rest);
      to[1] += total(cross);
      to[2] += total(power);
    }
    first = last;
  }
  for (int64_t i = strip.begin; i < strip.end; i += kWide)
    join(values + 2 * i, at(n_re + i), at(n_im + i));
  std::memcpy(weights + strip.begin, w + strip.begin, (strip.end - strip.begin) * sizeof(float));
}

}  // namespace vitreous::VITREOUS_ISA
