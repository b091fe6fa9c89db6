// Fourier transforms of the planes of a map and of its columns along z, several columns at a time.
//
// Stockham's algorithm (radices 2, 3, 4, 5 and 7) on short vectors: each of their lanes is a column
// of its own, so that no step of a transform mixes lanes, and all of it stays in the fastest cache.
// Rows of real numbers are complex ones of half the length. The reference is in planes.py.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "_isa.h"

namespace nb = nanobind;

namespace {

#define INLINE inline __attribute__((always_inline))

constexpr int W = 8;
typedef float Lane __attribute__((vector_size(4 * W)));
struct Pair {
  Lane re, im;
};
constexpr double TAU = 6.283185307179586476925;

struct Step {
  int radix, rest;                // rest: transforms that are left are so long
  std::vector<float> twiddles;    // cosine and sine for each place and input but the first
};

struct Plan {
  int n;
  std::vector<Step> steps;
  std::vector<float> turns;  // cosine and sine of k / 2n turns, for rows of 2n real numbers
};

bool is_quick(int n) {
  for (int p : {2, 3, 5, 7})
    while (n > 1 && n % p == 0) n /= p;
  return n == 1;
}

Plan make_plan(int n) {
  Plan plan{n, {}, {}};
  for (int left = n; left > 1;) {
    const int radix = left % 4 == 0 ? 4 : left % 5 == 0 ? 5 : left % 3 == 0 ? 3 : left % 7 == 0 ? 7 : 2;
    Step step{radix, left / radix, {}};
    for (int q = 0; q < step.rest; ++q)
      for (int j = 1; j < radix; ++j) {
        const double angle = -TAU * double(q) * j / left;
        step.twiddles.push_back(float(std::cos(angle)));
        step.twiddles.push_back(float(std::sin(angle)));
      }
    left = step.rest;
    plan.steps.push_back(std::move(step));
  }
  for (int k = 0; k <= n; ++k) {
    plan.turns.push_back(float(std::cos(TAU * k / (2.0 * n))));
    plan.turns.push_back(float(std::sin(TAU * k / (2.0 * n))));
  }
  return plan;
}

const Plan& plan_of(int n) {
  static std::mutex lock;
  static std::map<int, std::unique_ptr<Plan>> plans;
  const std::lock_guard<std::mutex> held(lock);
  auto& plan = plans[n];
  if (!plan) plan = std::make_unique<Plan>(make_plan(n));
  return *plan;
}

template <int P>
struct Circle {
  float cosine[P], sine[P];
  Circle() {
    for (int k = 0; k < P; ++k) {
      cosine[k] = float(std::cos(TAU * k / P));
      sine[k] = float(std::sin(TAU * k / P));
    }
  }
};
template <int P>
const Circle<P> circle;

INLINE Pair sum(Pair a, Pair b) { return {a.re + b.re, a.im + b.im}; }
INLINE Pair difference(Pair a, Pair b) { return {a.re - b.re, a.im - b.im}; }

// A transform of P numbers, P odd: pairs of inputs that lie opposite share their products.
template <int P>
INLINE void small(Pair* x) {
  constexpr int H = P / 2;
  Pair plus[H], minus[H];
  Pair total = x[0];
  for (int j = 0; j < H; ++j) {
    plus[j] = sum(x[1 + j], x[P - 1 - j]);
    minus[j] = difference(x[1 + j], x[P - 1 - j]);
    total = sum(total, plus[j]);
  }
  Pair out[P];
  for (int k = 1; k <= H; ++k) {
    Pair a = x[0], b{};
    for (int j = 0; j < H; ++j) {
      const float c = circle<P>.cosine[(j + 1) * k % P], s = circle<P>.sine[(j + 1) * k % P];
      a = {a.re + c * plus[j].re, a.im + c * plus[j].im};
      b = {b.re + s * minus[j].re, b.im + s * minus[j].im};
    }
    out[k] = {a.re + b.im, a.im - b.re};
    out[P - k] = {a.re - b.im, a.im + b.re};
  }
  x[0] = total;
  for (int k = 1; k < P; ++k) x[k] = out[k];
}
template <>
INLINE void small<2>(Pair* x) {
  const Pair a = x[0], b = x[1];
  x[0] = sum(a, b);
  x[1] = difference(a, b);
}
template <>
INLINE void small<4>(Pair* x) {
  const Pair a = sum(x[0], x[2]), b = difference(x[0], x[2]), c = sum(x[1], x[3]),
             d = difference(x[1], x[3]);
  x[0] = sum(a, c);
  x[1] = {b.re + d.im, b.im - d.re};
  x[2] = difference(a, c);
  x[3] = {b.re - d.im, b.im + d.re};
}

template <int P>
INLINE void step_of(const Step& step, int stride, const Pair* from, Pair* to) {
  const int rest = step.rest;
  for (int q = 0; q < rest; ++q) {
    const float* w = step.twiddles.data() + size_t(q) * (P - 1) * 2;
    for (int i = 0; i < stride; ++i) {
      Pair x[P];
      for (int j = 0; j < P; ++j) x[j] = from[i + stride * (q + rest * j)];
      small<P>(x);
      Pair* out = to + i + stride * P * q;
      out[0] = x[0];
      for (int j = 1; j < P; ++j) {
        const float c = w[2 * j - 2], s = w[2 * j - 1];
        out[stride * j] = q ? Pair{x[j].re * c - x[j].im * s, x[j].re * s + x[j].im * c} : x[j];
      }
    }
  }
}

// Transforms what lies in `a`; returns where the result is, `a` or `b`.
INLINE Pair* transform(const Plan& plan, Pair* a, Pair* b) {
  int stride = 1;
  for (const Step& step : plan.steps) {
    switch (step.radix) {
      case 2: step_of<2>(step, stride, a, b); break;
      case 3: step_of<3>(step, stride, a, b); break;
      case 4: step_of<4>(step, stride, a, b); break;
      case 5: step_of<5>(step, stride, a, b); break;
      default: step_of<7>(step, stride, a, b);
    }
    stride *= step.radix;
    std::swap(a, b);
  }
  return a;
}

INLINE Lane load(const float* p) {
  Lane found;
  std::memcpy(&found, p, sizeof found);
  return found;
}
INLINE void store(float* p, Lane value) { std::memcpy(p, &value, sizeof value); }

// Exchanges rows and columns of W vectors.
INLINE void transpose(Lane* t) {
  for (int i = 0; i < W; ++i)
    if (!(i & 4)) {
      const Lane a = t[i], b = t[i + 4];
      t[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
      t[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
  for (int i = 0; i < W; ++i)
    if (!(i & 2)) {
      const Lane a = t[i], b = t[i + 2];
      t[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      t[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < W; ++i)
    if (!(i & 1)) {
      const Lane a = t[i], b = t[i + 1];
      t[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
      t[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    }
}

// Complex columns side by side, in place: `stride` numbers lie between the places of one.
EVERY_ISA void columns(float* data, int64_t stride, int width, const Plan& plan, bool back,
                       float scale, Pair* a, Pair* b) {
  const int n = plan.n;
  float some[2 * W] = {};
  for (int first = 0; first < width; first += W) {
    const int n_some = 2 * std::min(W, width - first);
    float* start = data + 2 * first;
    for (int j = 0; j < n; ++j) {
      const float* p = start + j * stride;
      if (n_some < 2 * W) p = static_cast<float*>(std::memcpy(some, p, n_some * sizeof(float)));
      const Lane u = load(p), v = load(p + W);
      const Lane re = __builtin_shufflevector(u, v, 0, 2, 4, 6, 8, 10, 12, 14);
      const Lane im = __builtin_shufflevector(u, v, 1, 3, 5, 7, 9, 11, 13, 15);
      a[j] = back ? Pair{im, re} : Pair{re, im};
    }
    const Pair* found = transform(plan, a, b);
    for (int j = 0; j < n; ++j) {
      const Lane re = (back ? found[j].im : found[j].re) * scale;
      const Lane im = (back ? found[j].re : found[j].im) * scale;
      const Lane u = __builtin_shufflevector(re, im, 0, 8, 1, 9, 2, 10, 3, 11);
      const Lane v = __builtin_shufflevector(re, im, 4, 12, 5, 13, 6, 14, 7, 15);
      float* p = start + j * stride;
      if (n_some < 2 * W) {
        store(some, u);
        store(some + W, v);
        std::memcpy(p, some, n_some * sizeof(float));
      } else {
        store(p, u);
        store(p + W, v);
      }
    }
  }
}

// Moves numbers of W rows into vectors, a row in each lane, or back; a missing row is not touched.
INLINE void gather(const float* rows, int64_t stride, int n_rows, int n, Lane* to) {
  for (int x = 0; x < n; x += W) {
    Lane t[W] = {};
    if (n_rows == W && x + W <= n)
      for (int r = 0; r < W; ++r) t[r] = load(rows + r * stride + x);
    else
      for (int r = 0; r < n_rows; ++r)
        std::memcpy(&t[r], rows + r * stride + x, std::min(W, n - x) * sizeof(float));
    transpose(t);
    for (int j = 0; j < W; ++j) to[x + j] = t[j];
  }
}
INLINE void scatter(const Lane* from, int n, float* rows, int64_t stride, int n_rows) {
  for (int x = 0; x < n; x += W) {
    Lane t[W];
    for (int j = 0; j < W; ++j) t[j] = from[x + j];
    transpose(t);
    if (n_rows == W && x + W <= n)
      for (int r = 0; r < W; ++r) store(rows + r * stride + x, t[r]);
    else
      for (int r = 0; r < n_rows; ++r)
        std::memcpy(rows + r * stride + x, &t[r], std::min(W, n - x) * sizeof(float));
  }
}

bool is_zero(const float* rows, int64_t stride, int n_rows, int n) {
  for (int r = 0; r < n_rows; ++r)
    for (int x = 0; x < n; ++x)
      if (rows[r * stride + x] != 0.f) return false;
  return true;
}

// Half transforms of real rows; rows of zeros, of which a masked map has many, stay what they are.
EVERY_ISA void rows_forward(const float* real, int n_rows, const Plan& plan, float scale, float* out,
                            Pair* a, Pair* b) {
  const int m = plan.n, nx = 2 * m;
  const int64_t out_stride = nx + 2;
  for (int first = 0; first < n_rows; first += W) {
    const int some = std::min(W, n_rows - first);
    const float* rows = real + int64_t(first) * nx;
    float* to = out + first * out_stride;
    if (is_zero(rows, nx, some, nx)) {
      std::fill(to, to + some * out_stride, 0.f);
      continue;
    }
    gather(rows, nx, some, nx, &a->re);
    Pair* z = transform(plan, a, b);
    Pair* x = z == a ? b : a;
    const float half = 0.5f * scale;
    for (int k = 0; k <= m; ++k) {
      const Pair p = z[k % m], q = z[(m - k) % m];
      const Pair even{p.re + q.re, p.im - q.im}, odd{p.im + q.im, q.re - p.re};
      const float c = plan.turns[2 * k], s = -plan.turns[2 * k + 1];
      x[k] = {half * (even.re + c * odd.re - s * odd.im), half * (even.im + c * odd.im + s * odd.re)};
    }
    scatter(&x->re, nx + 2, to, out_stride, some);
  }
}

// Real rows of half transforms; what is imaginary in their first and last numbers does not count.
EVERY_ISA void rows_back(const float* transformed, int n_rows, const Plan& plan, float* real, Pair* a,
                         Pair* b) {
  const int m = plan.n, nx = 2 * m;
  const int64_t stride = nx + 2;
  for (int first = 0; first < n_rows; first += W) {
    const int some = std::min(W, n_rows - first);
    gather(transformed + first * stride, stride, some, nx + 2, &b->re);
    b[0].im = b[m].im = Lane{};
    for (int k = 0; k < m; ++k) {
      const Pair p = b[k], q = b[m - k];
      const Pair even{p.re + q.re, p.im - q.im}, odd{p.re - q.re, p.im + q.im};
      const float c = plan.turns[2 * k], s = plan.turns[2 * k + 1];
      const Lane re = even.re - (c * odd.im + s * odd.re), im = even.im + (c * odd.re - s * odd.im);
      a[k] = {im, re};  // real and imaginary part change places, so that it is the inverse
    }
    Pair* z = transform(plan, a, b);
    for (int j = 0; j < m; ++j) z[j] = {z[j].im, z[j].re};
    scatter(&z->re, nx, real + int64_t(first) * nx, nx, some);
  }
}

// Two buffers of vectors for one thread.
struct Room {
  explicit Room(int n)
      : size(n + W), memory(static_cast<Pair*>(std::aligned_alloc(64, 2 * size * sizeof(Pair)))) {}
  ~Room() { std::free(memory); }
  Pair* a() { return memory; }
  Pair* b() { return memory + size; }
  size_t size;
  Pair* memory;
};

using Real = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using ReadOnly = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Half = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

template <class A>
void check(const A& real, const Half& half) {
  if (real.shape(0) != half.shape(0) || real.shape(1) != half.shape(1) || half.shape(3) != 2 ||
      real.shape(2) % 2 || real.shape(2) / 2 + 1 != half.shape(2))
    throw std::invalid_argument("planes: the transform does not fit the map");
}

void forward(ReadOnly real, Half out) {
  check(real, out);
  const int n = int(real.shape(0)), ny = int(real.shape(1)), nx = int(real.shape(2));
  const Plan &along_x = plan_of(nx / 2), &along_y = plan_of(ny);
  nb::gil_scoped_release release;
  Room room(std::max(nx / 2, ny));
  for (int z = 0; z < n; ++z) {
    float* plane = out.data() + int64_t(z) * ny * (nx + 2);
    const float* rows = real.data() + int64_t(z) * ny * nx;
    rows_forward(rows, ny, along_x, 1.f / (float(nx) * float(ny)), plane, room.a(), room.b());
    columns(plane, nx + 2, nx / 2 + 1, along_y, false, 1.f, room.a(), room.b());
  }
}

void back(Half transform, Real real) {
  check(real, transform);
  const int n = int(real.shape(0)), ny = int(real.shape(1)), nx = int(real.shape(2));
  const Plan &along_x = plan_of(nx / 2), &along_y = plan_of(ny);
  nb::gil_scoped_release release;
  Room room(std::max(nx / 2, ny));
  for (int z = 0; z < n; ++z) {
    float* plane = transform.data() + int64_t(z) * ny * (nx + 2);
    columns(plane, nx + 2, nx / 2 + 1, along_y, true, 1.f, room.a(), room.b());
    rows_back(plane, ny, along_x, real.data() + int64_t(z) * ny * nx, room.a(), room.b());
  }
}

void along_z(Half transform, int first, int end, int width, bool is_back) {
  const int nz = int(transform.shape(0)), ny = int(transform.shape(1)), row = int(transform.shape(2));
  if (first < 0 || end > ny || width > row) throw std::invalid_argument("along_z: out of bounds");
  const Plan& plan = plan_of(nz);
  nb::gil_scoped_release release;
  Room room(nz);
  for (int y = first; y < end; ++y)
    columns(transform.data() + int64_t(y) * row * 2, int64_t(ny) * row * 2, width, plan, is_back,
            is_back ? 1.f : 1.f / float(nz), room.a(), room.b());
}

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

}  // namespace

NB_MODULE(_planes, m) {
  m.doc() = "Fourier transforms of planes and columns of maps on the CPU.";
  m.def("is_quick", &is_quick, nb::arg("n"), "Whether a length has no prime factor above 7.");
  m.def("forward", &forward, nb::arg("real"), nb::arg("out"));
  m.def("back", &back, nb::arg("transform"), nb::arg("real"));
  m.def("along_z", &along_z, nb::arg("transform"), nb::arg("first"), nb::arg("end"),
        nb::arg("width"), nb::arg("is_back"));
  m.def("add_folded", &add_folded, nb::arg("total"), nb::arg("one"), nb::arg("factor"));
}
