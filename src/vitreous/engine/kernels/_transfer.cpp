// CTFs of images, and transforms of images centred and multiplied by them, in one pass over the pixels.
// The reference is in transfer.py. The phase is a product in double precision, counted in turns;
// whole turns go before the precision drops.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
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

constexpr int kTerms = 5;

// Turns of the phase beyond whole ones, for pixels of a row.
VITREOUS_CLONES void turns_of_row(const double* terms, int64_t stride, const double* c, int n,
                                  float* out) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to whole numbers
#pragma omp simd
  for (int x = 0; x < n; ++x) {
    const double t = c[0] * terms[x] + c[1] * terms[stride + x] + c[2] * terms[2 * stride + x] +
                     c[3] * terms[3 * stride + x] + c[4] * terms[4 * stride + x];
    out[x] = float(t - ((t + kMagic) - kMagic));
  }
}

// -sin(2 pi turns) by its odd Taylor polynomial on a quarter turn, times scale, away from zero.
VITREOUS_CLONES void sines_of_row(float* turns, int n, float scale, float smallest) {
#pragma omp simd
  for (int x = 0; x < n; ++x) {
    const float a = std::fabs(turns[x]);
    const float q = (a > 0.25f ? 0.5f - a : a) * 6.28318531f, q2 = q * q;
    const float s =
        q * (1.f + q2 * (-1.f / 6 + q2 * (1.f / 120 + q2 * (-1.f / 5040 + q2 * (1.f / 362880 +
        q2 * (-1.f / 39916800))))));
    const float value = (turns[x] > 0.f ? -s : s) * scale;
    const float size = std::fabs(value);
    turns[x] = std::copysign(size > smallest ? size : smallest, value);
  }
}

VITREOUS_CLONES void weigh_row(float* values, const float* along_x, float re, float im,
                               const float* ctf, int n, float* weights) {
#pragma omp simd
  for (int x = 0; x < n; ++x) {
    const float cos = along_x[2 * x] * re - along_x[2 * x + 1] * im;
    const float sin = along_x[2 * x] * im + along_x[2 * x + 1] * re;
    const float a = values[2 * x], b = values[2 * x + 1], v = ctf[x];
    values[2 * x] = v * (a * cos - b * sin);
    values[2 * x + 1] = v * (a * sin + b * cos);
    weights[x] = v * v;
  }
}

void evaluate(Array<const double, 3> terms, Array<const double, 2> coefficients,
              Array<const float, 1> scale, float smallest, Array<float, 3> out, int threads) {
  const int64_t n = int64_t(out.shape(0));
  const int rows = int(out.shape(1)), width = int(out.shape(2));
  const int64_t plane = int64_t(rows) * width;
  if (int64_t(terms.shape(0)) != kTerms || int64_t(terms.shape(1)) != rows ||
      int64_t(terms.shape(2)) != width || int64_t(coefficients.shape(0)) != n ||
      int64_t(coefficients.shape(1)) != kTerms || int64_t(scale.shape(0)) != n)
    throw std::invalid_argument("evaluate: arrays do not fit");
  float* to = out.data();
  const float* factor = scale.data();
  const double *t = terms.data(), *c = coefficients.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t i = 0; i < n; ++i)
    for (int y = 0; y < rows; ++y) {
      float* row = to + i * plane + int64_t(y) * width;
      turns_of_row(t + int64_t(y) * width, plane, c + kTerms * i, width, row);
      sines_of_row(row, width, factor[i], smallest);
    }
}

void weigh(Array<float, 4> values, Array<const float, 3> along_x, Array<const float, 3> along_y,
           Array<const double, 3> terms, Array<const double, 2> coefficients,
           Array<const float, 1> scale, float smallest, Array<float, 3> weights, int threads) {
  const int64_t n = int64_t(values.shape(0));
  const int rows = int(values.shape(1)), width = int(values.shape(2));
  const int64_t plane = int64_t(rows) * width;
  const auto fits = [&](const auto& array, int64_t a, int64_t b) {
    return int64_t(array.shape(0)) == a && int64_t(array.shape(1)) == b;
  };
  if (values.shape(3) != 2 || !fits(along_x, n, width) || !fits(along_y, n, rows) ||
      along_x.shape(2) != 2 || along_y.shape(2) != 2 || !fits(terms, kTerms, rows) ||
      int64_t(terms.shape(2)) != width || !fits(coefficients, n, kTerms) ||
      int64_t(scale.shape(0)) != n || !fits(weights, n, rows) ||
      int64_t(weights.shape(2)) != width)
    throw std::invalid_argument("weigh: arrays do not fit");
  float *v = values.data(), *w = weights.data();
  const float *px = along_x.data(), *py = along_y.data(), *factor = scale.data();
  const double *t = terms.data(), *c = coefficients.data();
  nb::gil_scoped_release release;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> row(width);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n; ++i)
      for (int y = 0; y < rows; ++y) {
        const float* phase = py + 2 * (i * rows + y);
        turns_of_row(t + int64_t(y) * width, plane, c + kTerms * i, width, row.data());
        sines_of_row(row.data(), width, factor[i], smallest);
        weigh_row(v + 2 * (i * plane + int64_t(y) * width), px + 2 * i * width, phase[0],
                  phase[1], row.data(), width, w + i * plane + int64_t(y) * width);
      }
  }
}

}  // namespace

NB_MODULE(_transfer, m) {
  m.doc() = "CTFs of images, and transforms of images centred and multiplied by them, on the CPU.";
  m.def("evaluate", &evaluate, nb::arg("terms"), nb::arg("coefficients"), nb::arg("scale"),
        nb::arg("smallest"), nb::arg("out").noconvert(), nb::arg("threads"));
  m.def("weigh", &weigh, nb::arg("values").noconvert(), nb::arg("along_x"), nb::arg("along_y"),
        nb::arg("terms"), nb::arg("coefficients"), nb::arg("scale"), nb::arg("smallest"),
        nb::arg("weights").noconvert(), nb::arg("threads"));
}
