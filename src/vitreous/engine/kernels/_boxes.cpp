// Boxed images on the CPU: fit a plane to the background, subtract it, divide by what is left.
// The reference is engine/background.py, normalise.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "_isa.h"

namespace nb = nanobind;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

// Where the background is: in each row at most two runs of pixels, [start, stop).
using Runs = Array<const int32_t, 4>;       // masks, rows, runs, start and stop
using Inverses = Array<const double, 3>;    // masks, of the normal equations

struct Sums {
  double value = 0, value_x = 0, value_y = 0, square = 0;
};

struct Fit {
  double constant, along_x, along_y, scale;
  bool is_flat;
};

// Sums over a part of a row: of the values less an offset, times x, and squared.
template <class T>
EVERY_ISA void add_run(const T* row, int start, int stop, int middle, double offset, double* s) {
  double value = 0, value_x = 0, square = 0;
#pragma omp simd reduction(+ : value, value_x, square)
  for (int x = start; x < stop; ++x) {
    const double v = double(row[x]) - offset;
    value += v;
    value_x += v * (x - middle);
    square += v * v;
  }
  s[0] += value;
  s[1] += value_x;
  s[2] += square;
}

template <class T>
EVERY_ISA void write_row(const T* row, int size, int middle, double offset, double constant,
                         double slope, double scale, float* out) {
#pragma omp simd
  for (int x = 0; x < size; ++x)
    out[x] = float((double(row[x]) - offset) * scale + (constant + slope * (x - middle)));
}

Fit solve(const Sums& sums, const double* inverse, double count, double floor, double rounding) {
  const double s[3] = {sums.value, sums.value_x, sums.value_y};
  double plane[3];
  for (int i = 0; i < 3; ++i)
    plane[i] = inverse[3 * i] * s[0] + inverse[3 * i + 1] * s[1] + inverse[3 * i + 2] * s[2];
  const double explained = plane[0] * s[0] + plane[1] * s[1] + plane[2] * s[2];
  const double sigma = std::sqrt(std::max(0.0, sums.square - explained) / count);
  const bool is_flat = sigma <= floor + rounding * std::sqrt(sums.square / count);
  return {plane[0], plane[1], plane[2], is_flat ? 1.0 : 1.0 / sigma, is_flat};
}

// `row_of(y)` gives the pixels of a row; what it returns is valid until the next call.
template <class RowOf>
bool normalise_one(RowOf row_of, int size, const int32_t* runs, const double* inverse, double count,
                   double floor, double rounding, double sign, float* out) {
  const int middle = size / 2;
  const double offset = double(row_of(0)[0]);
  Sums sums;
  for (int y = 0; y < size; ++y) {
    const auto* row = row_of(y);
    double s[3] = {0, 0, 0};
    for (int r = 0; r < 2; ++r)
      add_run(row, runs[4 * y + 2 * r], runs[4 * y + 2 * r + 1], middle, offset, s);
    sums.value += s[0];
    sums.value_x += s[1];
    sums.value_y += s[0] * (y - middle);
    sums.square += s[2];
  }
  const Fit fit = solve(sums, inverse, count, floor, rounding);
  const double scale = sign * fit.scale;
  for (int y = 0; y < size; ++y)
    write_row(row_of(y), size, middle, offset, -scale * (fit.constant + fit.along_y * (y - middle)),
              -scale * fit.along_x, scale, out + int64_t(y) * size);
  return fit.is_flat;
}

struct Masks {
  const int32_t* runs;
  const double* inverses;
  const double* counts;
  int n, size;
  const int32_t* runs_of(int64_t i) const { return runs + (n == 1 ? 0 : i) * size * 4; }
  const double* inverse_of(int64_t i) const { return inverses + (n == 1 ? 0 : i) * 9; }
  double count_of(int64_t i) const { return counts[n == 1 ? 0 : i]; }
};

void images(Array<const double, 3> source, Runs runs, Inverses inverses,
            Array<const double, 1> counts, double floor, double rounding, double sign,
            Array<float, 3> out, Array<bool, 1> is_flat, int threads) {
  const int64_t n = int64_t(source.shape(0));
  const int size = int(source.shape(1));
  const Masks masks{runs.data(), inverses.data(), counts.data(), int(runs.shape(0)), size};
  const double* from = source.data();
  float* to = out.data();
  bool* flat = is_flat.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    const double* image = from + i * size * size;
    flat[i] = normalise_one([=](int y) { return image + int64_t(y) * size; }, size,
                            masks.runs_of(i), masks.inverse_of(i), masks.count_of(i), floor,
                            rounding, sign, to + i * size * size);
  }
}

void boxes(Array<const float, 2> micrograph, Array<const int64_t, 2> first, Runs runs,
           Inverses inverses, Array<const double, 1> counts, double floor, double rounding,
           double sign, Array<float, 3> out, Array<bool, 1> is_flat, int threads) {
  const int64_t n = int64_t(first.shape(0)), ny = int64_t(micrograph.shape(0)),
                nx = int64_t(micrograph.shape(1));
  const int size = int(out.shape(1));
  const Masks masks{runs.data(), inverses.data(), counts.data(), int(runs.shape(0)), size};
  const float* from = micrograph.data();
  const int64_t* corner = first.data();
  float* to = out.data();
  bool* flat = is_flat.data();
  nb::gil_scoped_release release;
#pragma omp parallel num_threads(threads)
  {
    std::vector<float> repeated(static_cast<size_t>(size));
#pragma omp for schedule(static)
    for (int64_t i = 0; i < n; ++i) {
      const int64_t x0 = corner[2 * i], y0 = corner[2 * i + 1];
      const bool is_inside = x0 >= 0 && x0 + size <= nx;
      auto row_of = [&](int y) -> const float* {
        const float* row = from + std::clamp<int64_t>(y0 + y, 0, ny - 1) * nx;
        if (is_inside) return row + x0;
        for (int x = 0; x < size; ++x)
          repeated[size_t(x)] = row[std::clamp<int64_t>(x0 + x, 0, nx - 1)];
        return repeated.data();
      };
      flat[i] = normalise_one(row_of, size, masks.runs_of(i), masks.inverse_of(i),
                              masks.count_of(i), floor, rounding, sign, to + i * size * size);
    }
  }
}

}  // namespace

NB_MODULE(_boxes, m) {
  m.def("images", &images);
  m.def("boxes", &boxes);
}
