// Frames of movies on the CPU: moving them by a smooth field, and adding them up with weights.
// The reference of each function is in motion_reference.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "_isa.h"

namespace nb = nanobind;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

constexpr int kBlock = 16;  // pixels that share a whole shift, nearly always

struct Frame {
  const float* data;
  int ny, nx;
  float at(int y, int x) const {
    return data[int64_t(std::clamp(y, 0, ny - 1)) * nx + std::clamp(x, 0, nx - 1)];
  }
};

// The shift along a row, a + b x + c x^2 with x from -1/2.
struct Row {
  float a, b, c;
};

Row along_row(const float* field, float y) {
  return {field[0] + y * (field[3] + y * field[4]), field[1] + y * field[5], field[2]};
}

// Move `kBlock` pixels whose whole shift is the same; `source` is the first pixel of the first tap.
template <bool cubic>
inline __attribute__((always_inline)) void warp_block(const float* source, int64_t stride,
                                                      const float* ty, const float* tx,
                                                      float* out) {
  float total[kBlock], wy[4][kBlock], wx[4][kBlock];
  for (int p = 0; p < kBlock; ++p) {
    const float t = tx[p], s = 1 - t;
    wx[0][p] = cubic ? s * s * s * (1.f / 6) : 0;
    wx[1][p] = cubic ? (4 + t * t * (3 * t - 6)) * (1.f / 6) : s;
    wx[2][p] = cubic ? (4 + s * s * (3 * s - 6)) * (1.f / 6) : t;
    wx[3][p] = cubic ? t * t * t * (1.f / 6) : 0;
  }
  for (int p = 0; p < kBlock; ++p) {
    const float t = ty[p], s = 1 - t;
    wy[0][p] = cubic ? s * s * s * (1.f / 6) : 0;
    wy[1][p] = cubic ? (4 + t * t * (3 * t - 6)) * (1.f / 6) : s;
    wy[2][p] = cubic ? (4 + s * s * (3 * s - 6)) * (1.f / 6) : t;
    wy[3][p] = cubic ? t * t * t * (1.f / 6) : 0;
    total[p] = 0;
  }
  for (int j = cubic ? 0 : 1; j < (cubic ? 4 : 3); ++j) {
    const float* row = source + j * stride;
    for (int p = 0; p < kBlock; ++p) {
      const float inner = wx[1][p] * row[p + 1] + wx[2][p] * row[p + 2];
      const float outer = cubic ? wx[0][p] * row[p] + wx[3][p] * row[p + 3] : 0;
      total[p] += wy[j][p] * (inner + outer);
    }
  }
  for (int p = 0; p < kBlock; ++p) out[p] = total[p];
}

// Move some pixels of a block whose whole shifts differ, or that need pixels beyond the edge: those
// of one whole shift at a time, from a copy of their surroundings.
template <bool cubic>
inline __attribute__((always_inline)) void warp_mixed_block(const Frame& f, int y, int first, int n,
                                                            const float* dy, const float* dx,
                                                            float* out) {
  constexpr int wide = kBlock + 3;
  float around[4 * wide], ty[kBlock], tx[kBlock], moved[kBlock];
  for (int begin = 0; begin < n;) {
    const float whole_x = std::floor(dx[begin]), whole_y = std::floor(dy[begin]);
    int end = begin + 1;
    while (end < n && std::floor(dx[end]) == whole_x && std::floor(dy[end]) == whole_y) ++end;
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < wide; ++i)
        around[j * wide + i] = f.at(y + int(whole_y) + j - 1, first + int(whole_x) + i - 1);
    for (int p = 0; p < kBlock; ++p) ty[p] = dy[p] - whole_y, tx[p] = dx[p] - whole_x;
    warp_block<cubic>(around, wide, ty, tx, moved);
    for (; begin < end; ++begin) out[begin] = moved[begin];
  }
}

EVERY_ISA
void warp_row(const float* data, int ny, int nx, int y, Row sx, Row sy, bool cubic, float* out) {
  const Frame f{data, ny, nx};
  const float per_px = 1 / float(nx);
  for (int first = 0; first < nx; first += kBlock) {
    const int n = std::min(kBlock, nx - first);
    float dx[kBlock], dy[kBlock];
    for (int p = 0; p < kBlock; ++p) {
      const float x = float(first + p) * per_px - 0.5f;
      dx[p] = -(sx.a + x * (sx.b + x * sx.c));
      dy[p] = -(sy.a + x * (sy.b + x * sy.c));
    }
    // The field is so smooth that its ends tell enough: in between it bulges by nothing.
    const float whole_x = std::floor(dx[0]), whole_y = std::floor(dy[0]);
    const int ix = first + int(whole_x) - 1, iy = y + int(whole_y) - 1;
    const bool smooth = std::floor(dx[kBlock - 1]) == whole_x &&
                        std::floor(dy[kBlock - 1]) == whole_y;
    if (!smooth || n < kBlock || ix < 0 || ix + kBlock + 3 > nx || iy < 0 || iy + 4 > ny) {
      if (cubic)
        warp_mixed_block<true>(f, y, first, n, dy, dx, out + first);
      else
        warp_mixed_block<false>(f, y, first, n, dy, dx, out + first);
      continue;
    }
    for (int p = 0; p < kBlock; ++p) dx[p] -= whole_x, dy[p] -= whole_y;
    const float* source = data + int64_t(iy) * nx + ix;
    if (cubic)
      warp_block<true>(source, nx, dy, dx, out + first);
    else
      warp_block<false>(source, nx, dy, dx, out + first);
  }
}

void warp(Array<const float, 2> frame, Array<const float, 2> field, bool cubic,
          Array<float, 2> out, int threads) {
  const int ny = int(frame.shape(0)), nx = int(frame.shape(1));
  const float *data = frame.data(), *coefficients = field.data();
  float* target = out.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int y = 0; y < ny; ++y) {
    const float place = float(y) / float(ny) - 0.5f;
    warp_row(data, ny, nx, y, along_row(coefficients, place), along_row(coefficients + 6, place),
             cubic, target + int64_t(y) * nx);
  }
}

// exp of numbers from 0 down; 2e-7 relative.
inline float exp_negative(float x) {
  const float scaled = std::max(x * 1.44269504f, -126.f);
  const float whole = std::floor(scaled), t = (scaled - whole) * 0.693147181f;
  const float series =
      1 + t * (1 + t * (0.5f + t * (1.f / 6 + t * (1.f / 24 + t * (1.f / 120 + t * (1.f / 720 + t * (1.f / 5040)))))));
  return series * __builtin_bit_cast(float, (int32_t(whole) + 127) << 23);
}

EVERY_ISA
void add_row(const float* wave, const float* decay, float dose, int n, float* weighted,
             float* plain, float* group) {
  constexpr int block = 64;
  for (int first = 0; first < n; first += block) {
    const int m = std::min(block, n - first);
    if (weighted) {
      float weight[block];
      for (int p = 0; p < m; ++p) weight[p] = exp_negative(dose * decay[first + p]);
      for (int p = 0; p < m; ++p) {
        weighted[2 * (first + p)] += weight[p] * wave[2 * (first + p)];
        weighted[2 * (first + p) + 1] += weight[p] * wave[2 * (first + p) + 1];
      }
    }
    if (plain)
      for (int p = 2 * first; p < 2 * (first + m); ++p) plain[p] += wave[p];
    if (group)
      for (int p = 2 * first; p < 2 * (first + m); ++p) group[p] += wave[p];
  }
}

using Waves = Array<float, 3>;  // y, xh, real and imaginary part

void add(Array<const float, 3> wave, Array<const float, 2> decay, float dose,
         std::optional<Waves> weighted, std::optional<Waves> plain, std::optional<Waves> group,
         int threads) {
  const int ny = int(wave.shape(0)), n = int(wave.shape(1));
  const float *source = wave.data(), *rate = decay.data();
  float* sums[3] = {weighted ? weighted->data() : nullptr, plain ? plain->data() : nullptr,
                    group ? group->data() : nullptr};
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int y = 0; y < ny; ++y) {
    const int64_t at = int64_t(y) * n;
    float* row[3];
    for (int s = 0; s < 3; ++s) row[s] = sums[s] ? sums[s] + 2 * at : nullptr;
    add_row(source + 2 * at, sums[0] ? rate + at : nullptr, dose, n, row[0], row[1], row[2]);
  }
}

EVERY_ISA
void add_modulus_row(float* wave, int n, float* total) {
  for (int p = 0; p < n; ++p) {
    total[p] += std::sqrt(wave[2 * p] * wave[2 * p] + wave[2 * p + 1] * wave[2 * p + 1]);
  }
  std::fill(wave, wave + 2 * n, 0.f);
}

void add_modulus(Waves wave, Array<float, 2> total, int threads) {
  const int ny = int(wave.shape(0)), n = int(wave.shape(1));
  float *source = wave.data(), *target = total.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int y = 0; y < ny; ++y)
    add_modulus_row(source + 2 * int64_t(y) * n, n, target + int64_t(y) * n);
}

// Add one row of a low-frequency frame, times phases, to a total.
EVERY_ISA
void add_moved_row(const float* wave, float ry, float iy, const float* ramp, int n, float* total) {
  for (int p = 0; p < n; ++p) {
    const float r = ry * ramp[2 * p] - iy * ramp[2 * p + 1];
    const float i = ry * ramp[2 * p + 1] + iy * ramp[2 * p];
    total[2 * p] += wave[2 * p] * r - wave[2 * p + 1] * i;
    total[2 * p + 1] += wave[2 * p] * i + wave[2 * p + 1] * r;
  }
}

void add_moved(Array<const float, 4> waves, Array<const float, 3> along_y,
               Array<const float, 3> along_x, Array<float, 3> total, int threads) {
  const int frames = int(waves.shape(0)), ny = int(waves.shape(1)), n = int(waves.shape(2));
  const float *source = waves.data(), *ys = along_y.data(), *xs = along_x.data();
  float* target = total.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int y = 0; y < ny; ++y)
    for (int f = 0; f < frames; ++f) {
      const float* phase = ys + 2 * (int64_t(f) * ny + y);
      add_moved_row(source + 2 * ((int64_t(f) * ny + y) * n), phase[0], phase[1],
                    xs + 2 * int64_t(f) * n, n, target + 2 * (int64_t(y) * n));
    }
}

constexpr int kRows = 4;  // rows that are multiplied before they are added to the sums

// Multiply rows with their reference and add them, times the phase of each step, to sums over rows.
// Rows of products are `stride` apart, those of sums `n`.
EVERY_ISA
void correlate_rows(const float* wave, const float* reference, const float* ramps, int64_t ny,
                    int n_rows, int n_steps, int n, int64_t stride, float* re, float* im,
                    float* total) {
  for (int y = 0; y < n_rows; ++y) {
    const float *w = wave + 2 * int64_t(y) * n, *other = reference + 2 * int64_t(y) * n;
    float *to_re = re + y * stride, *to_im = im + y * stride;
    for (int p = 0; p < n; ++p) {
      to_re[p] = w[2 * p] * other[2 * p] - w[2 * p + 1] * other[2 * p + 1];
      to_im[p] = w[2 * p] * other[2 * p + 1] + w[2 * p + 1] * other[2 * p];
    }
  }
  for (int y = n_rows; y < kRows; ++y) {
    std::fill(re + y * stride, re + y * stride + n, 0.f);
    std::fill(im + y * stride, im + y * stride + n, 0.f);
  }
  const float *re0 = re, *re1 = re + stride, *re2 = re + 2 * stride, *re3 = re + 3 * stride;
  const float *im0 = im, *im1 = im + stride, *im2 = im + 2 * stride, *im3 = im + 3 * stride;
  for (int s = 0; s < n_steps; ++s) {
    float phase[2 * kRows] = {};
    std::copy(ramps + 2 * s * ny, ramps + 2 * (s * ny + n_rows), phase);
    const float r0 = phase[0], r1 = phase[2], r2 = phase[4], r3 = phase[6];
    const float i0 = phase[1], i1 = phase[3], i2 = phase[5], i3 = phase[7];
    float *sum_re = total + int64_t(2 * s) * n, *sum_im = sum_re + n;
#pragma GCC ivdep
    for (int p = 0; p < n; ++p) {
      float sum = sum_re[p];
      sum += r0 * re0[p];
      sum -= i0 * im0[p];
      sum += r1 * re1[p];
      sum -= i1 * im1[p];
      sum += r2 * re2[p];
      sum -= i2 * im2[p];
      sum += r3 * re3[p];
      sum -= i3 * im3[p];
      sum_re[p] = sum;
    }
#pragma GCC ivdep
    for (int p = 0; p < n; ++p) {
      float sum = sum_im[p];
      sum += r0 * im0[p];
      sum += i0 * re0[p];
      sum += r1 * im1[p];
      sum += i1 * re1[p];
      sum += r2 * im2[p];
      sum += i2 * re2[p];
      sum += r3 * im3[p];
      sum += i3 * re3[p];
      sum_im[p] = sum;
    }
  }
}

// out: frames, steps, real or imaginary part, xh
void correlate(Array<const float, 4> waves, Array<const float, 3> reference,
               Array<const float, 4> ramps, Array<float, 4> out, int threads) {
  const int frames = int(waves.shape(0)), ny = int(waves.shape(1)), n = int(waves.shape(2));
  const int n_steps = int(ramps.shape(1));
  const float *source = waves.data(), *other = reference.data(), *phases = ramps.data();
  float* target = out.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int f = 0; f < frames; ++f) {
    const int64_t stride = (n + 15) / 16 * 16;
    std::vector<float> re(kRows * stride), im(kRows * stride);
    float* total = target + int64_t(f) * n_steps * 2 * n;
    std::fill(total, total + int64_t(n_steps) * 2 * n, 0.f);
    for (int y = 0; y < ny; y += kRows)
      correlate_rows(source + 2 * ((int64_t(f) * ny + y) * n), other + 2 * (int64_t(y) * n),
                     phases + 2 * (int64_t(f) * n_steps * ny + y), ny, std::min(kRows, ny - y),
                     n_steps, n, stride, re.data(), im.data(), total);
  }
}

// The same with the conjugate of the frame itself, times a weight, as the reference.
EVERY_ISA
void correlate_own_row(const float* wave, const float* weight, const float* ramps, int64_t stride,
                       int n_steps, int n, float* power, float* total) {
  for (int p = 0; p < n; ++p)
    power[p] = weight[p] * (wave[2 * p] * wave[2 * p] + wave[2 * p + 1] * wave[2 * p + 1]);
  for (int s = 0; s < n_steps; ++s) {
    const float r = ramps[s * stride], i = ramps[s * stride + 1];
    float* sum_re = total + int64_t(2 * s) * n;
    float* sum_im = sum_re + n;
    for (int p = 0; p < n; ++p) {
      sum_re[p] += r * power[p];
      sum_im[p] += i * power[p];
    }
  }
}

void correlate_own(Array<const float, 4> waves, Array<const float, 2> weight,
                   Array<const float, 3> ramps, Array<float, 4> out, int threads) {
  const int frames = int(waves.shape(0)), ny = int(waves.shape(1)), n = int(waves.shape(2));
  const int n_steps = int(ramps.shape(0));
  const float *source = waves.data(), *weights = weight.data(), *phases = ramps.data();
  float* target = out.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int f = 0; f < frames; ++f) {
    std::vector<float> power(static_cast<size_t>(n));
    float* total = target + int64_t(f) * n_steps * 2 * n;
    std::fill(total, total + int64_t(n_steps) * 2 * n, 0.f);
    for (int y = 0; y < ny; ++y)
      correlate_own_row(source + 2 * ((int64_t(f) * ny + y) * n), weights + int64_t(y) * n,
                        phases + 2 * int64_t(y), 2 * int64_t(ny), n_steps, n, power.data(), total);
  }
}

template <class T>
EVERY_ISA void fill_row(const T* counts, const float* gain, int n, float* out) {
  if (gain)
    for (int p = 0; p < n; ++p) out[p] = float(counts[p]) * gain[p];
  else
    for (int p = 0; p < n; ++p) out[p] = float(counts[p]);
}

// Counts as numbers, times the gain.
template <class T>
void fill(Array<const T, 2> counts, std::optional<Array<const float, 2>> gain, Array<float, 2> out,
          int threads) {
  const int ny = int(counts.shape(0)), nx = int(counts.shape(1));
  const T* source = counts.data();
  const float* factor = gain ? gain->data() : nullptr;
  float* target = out.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int y = 0; y < ny; ++y) {
    const int64_t at = int64_t(y) * nx;
    fill_row(source + at, factor ? factor + at : nullptr, nx, target + at);
  }
}

template <class T>
EVERY_ISA bool add_counts_row(const T* counts, int n, int32_t* total) {
  T seen = 0;
  for (int p = 0; p < n; ++p) {
    total[p] += counts[p];
    seen |= counts[p];
  }
  return seen != 0;
}

// Add whole numbers to `total`; tells whether one of them is not 0.
template <class T>
bool add_counts(Array<const T, 2> counts, Array<int32_t, 2> total, int threads) {
  const int ny = int(counts.shape(0)), nx = int(counts.shape(1));
  const T* source = counts.data();
  int32_t* target = total.data();
  nb::gil_scoped_release release;
  int n_full = 0;
#pragma omp parallel for num_threads(threads) schedule(static) reduction(+ : n_full) if (threads > 1)
  for (int y = 0; y < ny; ++y)
    n_full += add_counts_row(source + int64_t(y) * nx, nx, target + int64_t(y) * nx);
  return n_full > 0;
}

template <class T>
void define_add_counts(nb::module_& m) {
  m.def("add_counts", &add_counts<T>, nb::arg("counts").noconvert(), nb::arg("total").noconvert(),
        nb::arg("threads"));
}

template <class T>
void define_fill(nb::module_& m) {
  m.def("fill", &fill<T>, nb::arg("counts").noconvert(), nb::arg("gain").none(), nb::arg("out"),
        nb::arg("threads"));
}

}  // namespace

NB_MODULE(_motion, m) {
  define_add_counts<uint8_t>(m);
  define_add_counts<int8_t>(m);
  define_add_counts<uint16_t>(m);
  define_add_counts<int16_t>(m);
  define_add_counts<int32_t>(m);
  define_fill<uint8_t>(m);
  define_fill<int8_t>(m);
  define_fill<int16_t>(m);
  define_fill<int32_t>(m);
  define_fill<float>(m);
  m.def("warp", &warp);
  m.def("add", &add, nb::arg("wave"), nb::arg("decay"), nb::arg("dose"),
        nb::arg("weighted").none(), nb::arg("plain").none(), nb::arg("group").none(),
        nb::arg("threads"));
  m.def("add_modulus", &add_modulus);
  m.def("add_moved", &add_moved);
  m.def("correlate", &correlate);
  m.def("correlate_own", &correlate_own);
}
