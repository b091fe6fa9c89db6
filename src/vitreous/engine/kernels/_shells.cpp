// Passes over half transforms in the order of the FFT: sums over shells, radial curves, random
// phases, on the CPU. The reference of each function is in shells.py. Radii are looked up in tables
// by the squared length of the frequency; planes are summed one by one, so that results do not
// depend on the number of threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "_isa.h"

namespace nb = nanobind;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

// Planes z, rows y, columns x of a half transform; an image is a volume of one plane.
template <class T>
struct Half {
  T* data;
  int planes, rows, width;

  template <class A>
  explicit Half(const A& array)
      : data(array.data()), planes(int(array.shape(0))), rows(int(array.shape(1))),
        width(int(array.shape(2))) {
    if (array.shape(3) != 2 || width != rows / 2 + 1 || (planes != 1 && planes != rows))
      throw std::invalid_argument("half transform: wanted a cube or a square, two numbers a point");
  }
  static int64_t frequency(int index, int side) { return index > side / 2 ? index - side : index; }
  int64_t base(int z, int y) const {
    const int64_t kz = frequency(z, planes), ky = frequency(y, rows);
    return kz * kz + ky * ky;
  }
  T* row(int z, int y) const { return data + (int64_t(z) * rows + y) * width * 2; }
  // Points of a row whose squared length is below a limit.
  int reach(int64_t base, int64_t limit) const {
    if (base >= limit) return 0;
    int x = int(std::sqrt(double(limit - 1 - base)));
    while (base + int64_t(x) * x >= limit) --x;
    while (base + int64_t(x + 1) * (x + 1) < limit) ++x;
    return std::min(width, x + 1);
  }
};

void add_planes(const std::vector<double>& parts, int planes, int64_t n, double* out) {
  for (int z = 0; z < planes; ++z)
    for (int64_t i = 0; i < n; ++i) out[i] += parts[z * n + i];
}

// Common power, power of the first, power of the second, one number unused, for each shell.
template <class T>
void correlate(Array<const T, 4> first, Array<const T, 4> second, Array<const int16_t, 1> shells,
               Array<double, 2> sums, int threads) {
  const Half<const T> a(first), b(second);
  if (a.planes != b.planes || a.rows != b.rows || sums.shape(1) != 4)
    throw std::invalid_argument("correlate: the transforms differ in size");
  const int64_t n = 4 * int64_t(sums.shape(0)), limit = int64_t(shells.shape(0));
  std::vector<double> parts(a.planes * n);
  const int16_t* shell = shells.data();
  double* out = sums.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int z = 0; z < a.planes; ++z) {
    double* part = parts.data() + z * n;
    for (int y = 0; y < a.rows; ++y) {
      const int64_t base = a.base(z, y);
      const T *p = a.row(z, y), *q = b.row(z, y);
      const int end = a.reach(base, limit);
      for (int x = 0; x < end; ++x) {
        const double pr = p[2 * x], pi = p[2 * x + 1], qr = q[2 * x], qi = q[2 * x + 1];
        double* s = part + 4 * shell[base + int64_t(x) * x];
        s[0] += pr * qr + pi * qi;
        s[1] += pr * pr + pi * pi;
        s[2] += qr * qr + qi * qi;
      }
    }
  }
  add_planes(parts, a.planes, n, out);
}

// Amplitudes added up for each squared length. Parts are added at the end, whatever the threads.
template <class T>
void amplitudes(Array<const T, 4> transform, Array<double, 1> sums, int threads) {
  const Half<const T> a(transform);
  const int64_t limit = int64_t(sums.shape(0));
  const int n_parts = 4;
  std::vector<double> parts(n_parts * limit);
  double* out = sums.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int number = 0; number < n_parts; ++number) {
    double* part = parts.data() + number * limit;
    for (int z = number; z < a.planes; z += n_parts)
      for (int y = 0; y < a.rows; ++y) {
        const int64_t base = a.base(z, y);
        const T* p = a.row(z, y);
        const int end = a.reach(base, limit);
        for (int x = 0; x < end; ++x)
          part[base + int64_t(x) * x] += std::sqrt(p[2 * x] * p[2 * x] + p[2 * x + 1] * p[2 * x + 1]);
      }
  }
  add_planes(parts, n_parts, limit, out);
}

// Multiplies by a curve of the squared length, in place; 0 beyond its end.
template <class T>
void multiply(Array<T, 4> transform, Array<const T, 1> curve, int threads) {
  const Half<T> a(transform);
  const int64_t limit = int64_t(curve.shape(0));
  const T* factor = curve.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int z = 0; z < a.planes; ++z)
    for (int y = 0; y < a.rows; ++y) {
      const int64_t base = a.base(z, y);
      T* p = a.row(z, y);
      const int end = a.reach(base, limit);
      for (int x = 0; x < end; ++x) {
        const T f = factor[base + int64_t(x) * x];
        p[2 * x] *= f;
        p[2 * x + 1] *= f;
      }
      std::fill(p + 2 * end, p + 2 * a.width, T(0));
    }
}

// Cosine and sine of a phase in turns from 0 to 1: Taylor series within an eighth of a turn, and
// the rest by symmetry; absolute errors below 3e-7 (in single precision, rounding is as large).
inline __attribute__((always_inline)) void circle(float turns, float& c, float& s) {
  const int quarters = int(4.f * turns + 0.5f);
  const float t = (turns - 0.25f * float(quarters)) * 6.28318531f, u = t * t;
  const float sine = t * (1.f + u * (-1.f / 6 + u * (1.f / 120 + u * (-1.f / 5040))));
  const float cosine = 1.f + u * (-.5f + u * (1.f / 24 + u * (-1.f / 720 + u * (1.f / 40320))));
  const int q = quarters & 3;
  const float even = q & 1 ? sine : cosine, odd = q & 1 ? cosine : sine;
  c = q == 1 || q == 2 ? -even : even;
  s = q >= 2 ? -odd : odd;
}

// A phase in turns for each number, spread evenly by mixing its bits (C. Wellons' lowbias32).
inline __attribute__((always_inline)) float turns_of(uint32_t number) {
  number = (number ^ number >> 16) * 0x7feb352du;
  number = (number ^ number >> 15) * 0x846ca68bu;
  return float((number ^ number >> 16) >> 8) * 0x1p-24f;
}

// Gives points of a row new phases, in place; `number` is that of the first one.
template <class T>
inline __attribute__((always_inline)) void turn_points(T* p, int n, uint32_t number, uint32_t seed) {
  for (int x = 0; x < n; ++x) {
    const T amplitude = std::sqrt(p[2 * x] * p[2 * x] + p[2 * x + 1] * p[2 * x + 1]);
    float c, s;
    circle(turns_of((number + uint32_t(x)) * 0x9e3779b1u ^ seed), c, s);
    p[2 * x] = amplitude * c;
    p[2 * x + 1] = amplitude * s;
  }
}
EVERY_ISA void turn_row(float* p, int n, uint32_t number, uint32_t seed) {
  turn_points(p, n, number, seed);
}
EVERY_ISA void turn_row(double* p, int n, uint32_t number, uint32_t seed) {
  turn_points(p, n, number, seed);
}

// Gives every point from a squared length on a new phase, in place.
template <class T>
void turn(Array<T, 4> transform, uint32_t seed, int64_t from, int threads) {
  const Half<T> a(transform);
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int z = 0; z < a.planes; ++z)
    for (int y = 0; y < a.rows; ++y) {
      T* p = a.row(z, y);
      const uint32_t first = uint32_t(z * a.rows + y) * uint32_t(a.width);
      const int start = a.reach(a.base(z, y), from);
      turn_row(p + 2 * start, a.width - start, first + uint32_t(start), seed);
    }
}

// The square on a face of a cube through which an axis goes: see engine/validation/cells.py. Whole
// numbers of this size are divided without an error that could change the square.
inline __attribute__((always_inline)) int cell_of(float x, float y, float z, int squares) {
  const float ax = std::fabs(x), ay = std::fabs(y), az = std::fabs(z);
  const bool on_x = ax >= ay && ax >= az, on_y = ay >= az && !on_x;
  const float largest = on_x ? x : on_y ? y : z, half = 0.5f * float(squares);
  const float first = on_x ? y : x, second = on_x || on_y ? z : y;
  const float divisor = largest == 0.f ? 1.f : largest;
  const int row = std::min(int((first + largest) * half / divisor), squares - 1);
  const int column = std::min(int((second + largest) * half / divisor), squares - 1);
  return ((on_x ? 0 : on_y ? 1 : 2) * squares + row) * squares + column;
}

EVERY_ISA void cells_of_row(int n, float ky, float kz, int squares, int32_t* cell) {
  for (int x = 0; x < n; ++x) cell[x] = cell_of(float(x), ky, kz, squares);
}

// Common power, both powers and the number of points for each cell of directions and shell; of a
// Friedel pair one counts. Two parts are added at the end, whatever the number of threads.
template <class T>
void cells(Array<const T, 4> first, Array<const T, 4> second, Array<const int16_t, 1> shells,
           Array<double, 3> sums, int squares, int threads) {
  const Half<const T> a(first), b(second);
  const int64_t n_shells = int64_t(sums.shape(1)), n = 4 * n_shells * int64_t(sums.shape(0));
  if (a.planes != b.planes || a.rows != b.rows || a.planes != a.rows || sums.shape(2) != 4 ||
      int64_t(sums.shape(0)) != 3 * int64_t(squares) * squares)
    throw std::invalid_argument("cells: wanted two cubes of one size");
  const int64_t limit = int64_t(shells.shape(0));
  const int n_parts = 2;
  std::vector<double> parts(n_parts * n);
  const int16_t* shell = shells.data();
  double* out = sums.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(static, 1) if (threads > 1)
  for (int number = 0; number < n_parts; ++number) {
    double* part = parts.data() + number * n;
    std::vector<int32_t> cell(a.width);
    for (int z = number; z < a.planes; z += n_parts) {
      const float kz = float(Half<const T>::frequency(z, a.planes));
      for (int y = 0; y < a.rows; ++y) {
        const int64_t base = a.base(z, y);
        const float ky = float(Half<const T>::frequency(y, a.rows));
        const T *p = a.row(z, y), *q = b.row(z, y);
        const int end = a.reach(base, limit);
        cells_of_row(end, ky, kz, squares, cell.data());
        for (int x = 0; x < end; ++x) {
          const double w = x ? 1 : 0.5, pr = p[2 * x], pi = p[2 * x + 1], qr = q[2 * x],
                       qi = q[2 * x + 1];
          double* s = part + 4 * (cell[x] * n_shells + shell[base + int64_t(x) * x]);
          s[0] += w * (pr * qr + pi * qi);
          s[1] += w * (pr * pr + pi * pi);
          s[2] += w * (qr * qr + qi * qi);
          s[3] += w;
        }
      }
    }
  }
  add_planes(parts, n_parts, n, out);
}

template <class T>
void define(nb::module_& m) {
  m.def("cells", &cells<T>, nb::arg("first"), nb::arg("second"), nb::arg("shells"),
        nb::arg("sums"), nb::arg("squares"), nb::arg("threads"));
  m.def("correlate", &correlate<T>, nb::arg("first"), nb::arg("second"), nb::arg("shells"),
        nb::arg("sums"), nb::arg("threads"));
  m.def("amplitudes", &amplitudes<T>, nb::arg("transform"), nb::arg("sums"), nb::arg("threads"));
  m.def("multiply", &multiply<T>, nb::arg("transform"), nb::arg("curve"), nb::arg("threads"));
  m.def("turn", &turn<T>, nb::arg("transform"), nb::arg("seed"), nb::arg("start"),
        nb::arg("threads"));
}

}  // namespace

NB_MODULE(_shells, m) {
  m.doc() = "Sums over shells of half transforms, radial curves and random phases on the CPU.";
  define<float>(m);
  define<double>(m);
}
