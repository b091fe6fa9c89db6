// Particle images made ready for an expectation step: moved and masked before their transforms, and
// weighted and packed after them, image by image. The reference is refinement/images.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define VITREOUS_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VITREOUS_CLONES
#endif

namespace nb = nanobind;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

struct Seen {  // of some pixels
  double power = 0, outside = 0;
  float brightest = 0;
};

// Scale a row; count its power, its brightest square and what lies outside of the mask.
VITREOUS_CLONES void scale_row(const float* from, float factor, int n, float* to, Seen& seen) {
  float power = 0, brightest = 0;
#pragma omp simd reduction(+ : power) reduction(max : brightest)
  for (int x = 0; x < n; ++x) {
    const float value = from[x] * factor, square = value * value;
    to[x] = value;
    power += square;
    brightest = square > brightest ? square : brightest;
  }
  seen.power += power;
  seen.brightest = std::max(seen.brightest, brightest);
}

VITREOUS_CLONES float sum_outside(const float* row, const float* mask, int n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int x = 0; x < n; ++x) sum += row[x] * (1.f - mask[x]);
  return sum;
}

VITREOUS_CLONES void fade_row(const float* row, const float* mask, float background, int n,
                              float* to) {
#pragma omp simd
  for (int x = 0; x < n; ++x) to[x] = row[x] * mask[x] + background * (1.f - mask[x]);
}

// Scale, move and mask images.
void enter(Array<const float, 3> images, Array<const float, 1> factor, Array<const int32_t, 2> shift,
           Array<const float, 2> mask, double outside, float beyond, float share,
           Array<float, 3> moved, Array<float, 3> masked, Array<bool, 1> bad, int threads) {
  const int64_t n = int64_t(images.shape(0)), side = int64_t(images.shape(2));
  const auto fits = [&](const auto& array) {
    return int64_t(array.shape(0)) == n && int64_t(array.shape(1)) == side &&
           int64_t(array.shape(2)) == side;
  };
  if (!fits(images) || !fits(moved) || !fits(masked) || int64_t(factor.shape(0)) != n ||
      int64_t(shift.shape(0)) != n || int64_t(shift.shape(1)) != 2 ||
      int64_t(mask.shape(0)) != side || int64_t(mask.shape(1)) != side ||
      int64_t(bad.shape(0)) != n)
    throw std::invalid_argument("enter: arrays do not fit");
  const float *in = images.data(), *factors = factor.data(), *window = mask.data();
  const int32_t* shifts = shift.data();
  float *to = moved.data(), *to_masked = masked.data();
  bool* is_bad = bad.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t i = 0; i < n; ++i) {
    const float* image = in + i * side * side;
    float *out = to + i * side * side, *faded = to_masked + i * side * side;
    const int64_t dx = std::clamp<int64_t>(shifts[2 * i], -side, side);
    const int64_t dy = std::clamp<int64_t>(shifts[2 * i + 1], -side, side);
    const int64_t first = std::max<int64_t>(dx, 0), last = side + std::min<int64_t>(dx, 0);
    std::vector<float> row(side);
    Seen seen;
    std::memset(out, 0, side * side * sizeof(float));
    for (int64_t y = 0; y < side; ++y) {
      scale_row(image + y * side, factors[i], int(side), row.data(), seen);
      if (y + dy < 0 || y + dy >= side || first >= last) continue;
      float* target = out + (y + dy) * side;
      std::copy_n(row.data() + first - dx, last - first, target + first);
      seen.outside += sum_outside(target, window + (y + dy) * side, int(side));
    }
    is_bad[i] = !(seen.brightest < beyond * beyond && seen.brightest <= share * seen.power);
    if (is_bad[i]) {
      std::memset(out, 0, side * side * sizeof(float));
      std::memset(faded, 0, side * side * sizeof(float));
      continue;
    }
    const float background = float(seen.outside / outside);
    for (int64_t y = 0; y < side; ++y)
      fade_row(out + y * side, window + y * side, background, int(side), faded + y * side);
  }
}

struct Weights {  // of a row of pixels
  const float *transfer, *inverse;
  float scale, sign;  // sign: of even pixels, which moves the origin to the centre
  bool plain, premultiplied;
};

VITREOUS_CLONES void weigh_row(const float* x, const float* u, const Weights& w, int n, float* b_re,
                               float* b_im, float* c, float* u_re, float* u_im, float* m) {
#pragma omp simd
  for (int k = 0; k < n; ++k) {
    const float sign = k % 2 ? -w.sign : w.sign;
    const float t = w.scale * w.transfer[k], inverse = w.inverse[k];
    const float compared = w.plain ? w.scale : t;
    const float of_b = compared * inverse, of_u = (w.premultiplied ? 1.f : t) * inverse;
    b_re[k] = sign * of_b * x[2 * k];
    b_im[k] = sign * of_b * x[2 * k + 1];
    c[k] = compared * of_b;
    u_re[k] = sign * of_u * u[2 * k];
    u_im[k] = sign * of_u * u[2 * k + 1];
  }
  if (m == nullptr) return;
#pragma omp simd
  for (int k = 0; k < n; ++k) {
    const float t = w.scale * w.transfer[k];
    m[k] = (w.premultiplied ? t : t * t) * w.inverse[k];
  }
}

VITREOUS_CLONES void squares_of_row(const float* x, int n, float* out) {
#pragma omp simd
  for (int k = 0; k < n; ++k) out[k] = x[2 * k] * x[2 * k] + x[2 * k + 1] * x[2 * k + 1];
}

// Weight and pack transforms (refinement.disc), and sum the power of the masked ones by shells.
// The origin of the transforms is the corner of the images, that of the packed ones the centre.
// `out` takes b_re, b_im, c, u_re, u_im and m; without the last where it would equal c.
void weigh(Array<const float, 4> masked, Array<const float, 4> whole, Array<const float, 3> transfer,
           Array<const float, 1> scale, Array<const float, 2> inverse,
           Array<const int16_t, 2> shells, Array<float, 3> out, int64_t first,
           Array<double, 2> power, bool plain, bool premultiplied, int threads) {
  constexpr int kPad = 16;
  const int64_t n = int64_t(masked.shape(0)), box = int64_t(masked.shape(1));
  const int64_t columns = int64_t(masked.shape(2)), size = int64_t(transfer.shape(1));
  const int64_t width = size / 2 + 1, radius = size / 2, all = int64_t(out.shape(1));
  const int parts = plain || premultiplied ? 6 : 5;
  const int64_t n_shells = int64_t(power.shape(1));
  std::vector<int64_t> ends(size), offsets(size + 1);
  for (int64_t y = 0; y < size; ++y) {
    const int64_t ky = y <= radius ? y : y - size;
    ends[y] = int64_t(std::sqrt(double(radius * radius - ky * ky))) + 1;
    offsets[y + 1] = offsets[y] + (ends[y] + kPad - 1) / kPad * kPad;
  }
  const auto fits = [&](const auto& array, int64_t a, int64_t b, int64_t c) {
    return int64_t(array.shape(0)) == a && int64_t(array.shape(1)) == b &&
           int64_t(array.shape(2)) == c;
  };
  if (!fits(masked, n, box, columns) || !fits(whole, n, box, columns) || masked.shape(3) != 2 ||
      whole.shape(3) != 2 || columns != box / 2 + 1 || box % 2 || size % 2 || size > box ||
      !fits(transfer, n, size, width) || int64_t(scale.shape(0)) != n ||
      int64_t(inverse.shape(0)) != size || int64_t(inverse.shape(1)) != width ||
      int64_t(shells.shape(0)) != box || int64_t(shells.shape(1)) != columns ||
      !fits(out, parts, all, offsets[size]) || first < 0 || first + n > all || int64_t(power.shape(0)) != n)
    throw std::invalid_argument("weigh: arrays do not fit");
  const float *x = masked.data(), *u = whole.data(), *t = transfer.data(), *factor = scale.data();
  const float* weight = inverse.data();
  const int16_t* shell = shells.data();
  float* to = out.data();
  double* sums = power.data();
  nb::gil_scoped_release release;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> squares(columns);
    std::vector<double> of_shells(n_shells + 1);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n; ++i) {
      std::fill(of_shells.begin(), of_shells.end(), 0.0);
      for (int64_t y = 0; y < box; ++y) {
        squares_of_row(x + 2 * (i * box + y) * columns, int(columns), squares.data());
        const int16_t* row = shell + y * columns;
        for (int64_t k = 0; k < columns; ++k) of_shells[row[k]] += squares[k];
      }
      std::copy_n(of_shells.begin(), n_shells, sums + i * n_shells);
      for (int64_t y = 0; y < size; ++y) {
        const int64_t ky = y <= radius ? y : y - size, source = ky < 0 ? box + ky : ky;
        const int64_t from = 2 * (i * box + source) * columns, end = ends[y];
        float* place[6] = {};
        for (int part = 0; part < parts; ++part)
          place[part] = to + (part * all + first + i) * offsets[size] + offsets[y];
        const Weights w = {t + (i * size + y) * width, weight + y * width, factor[i],
                           ky % 2 ? -1.f : 1.f, plain, premultiplied};
        weigh_row(x + from, u + from, w, int(end), place[0], place[1], place[2], place[3],
                  place[4], place[5]);
        for (int part = 0; part < parts; ++part) {
          float* at = place[part];
          if (ky < 0) at[0] = 0.f;  // the twin of a pixel that is there
          std::fill(at + end, at + (offsets[y + 1] - offsets[y]), 0.f);
        }
      }
    }
  }
}

}  // namespace

NB_MODULE(_images, m) {
  m.doc() = "Particle images made ready for an expectation step, on the CPU.";
  m.def("enter", &enter, nb::arg("images"), nb::arg("factor"), nb::arg("shift"), nb::arg("mask"),
        nb::arg("outside"), nb::arg("beyond"), nb::arg("share"), nb::arg("moved").noconvert(),
        nb::arg("masked").noconvert(), nb::arg("bad").noconvert(), nb::arg("threads"));
  m.def("weigh", &weigh, nb::arg("masked"), nb::arg("whole"), nb::arg("transfer"),
        nb::arg("scale"), nb::arg("inverse"), nb::arg("shells"), nb::arg("out").noconvert(),
        nb::arg("first"), nb::arg("power").noconvert(), nb::arg("plain"), nb::arg("premultiplied"),
        nb::arg("threads"));
}
