// Sums over half shells of an accumulator, and the Wiener division, on the CPU.
// The reference of each function is in half_shells.py. Shells come from a table of the squared
// radius; planes are summed one by one, so that results do not depend on the number of threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace nb = nanobind;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

// An image is a volume of one plane. Row (z, y) has the squared radius base at x = 0.
template <class T>
struct Grid {
  const T* data;
  int planes, rows, width;
  const int16_t* shells;
  int64_t largest;  // squared radius beyond which points belong to no shell

  Grid(const Array<const T, 4>& grid, const Array<const int16_t, 1>& table)
      : data(grid.data()), planes(int(grid.shape(0))), rows(int(grid.shape(1))),
        width(int(grid.shape(2))), shells(table.data()), largest(int64_t(table.shape(0)) - 1) {
    if (grid.shape(3) != 4 || rows != 2 * width - 1 || (planes != 1 && planes != rows))
      throw std::invalid_argument("grid: sides must be 2 width - 1, with four numbers a point");
  }
  int64_t base(int z, int y) const {
    const int64_t dz = z - planes / 2, dy = y - rows / 2;
    return dz * dz + dy * dy;
  }
  const T* row(int z, int y) const { return data + (int64_t(z) * rows + y) * width * 4; }
  // Points of a row inside the sphere.
  int reach(int64_t base) const {
    if (base > largest) return 0;
    int x = 0;
    while (x < width && base + int64_t(x) * x <= largest) ++x;
    return x;
  }
};

template <class T>
void weight_sums(Array<const T, 4> grid, Array<const int16_t, 1> table, Array<double, 1> total,
                 Array<double, 1> count, int threads) {
  const Grid<T> g(grid, table);
  const int64_t n = int64_t(total.shape(0));
  std::vector<double> sums(g.planes * n), points(g.planes * n);
  double *out = total.data(), *number = count.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int z = 0; z < g.planes; ++z) {
    double *s = sums.data() + z * n, *c = points.data() + z * n;
    for (int y = 0; y < g.rows; ++y) {
      const int64_t base = g.base(z, y);
      const T* p = g.row(z, y) + 2;
      const int end = g.reach(base);
      for (int x = 0; x < end; ++x) {
        const int h = g.shells[base + int64_t(x) * x];
        s[h] += p[4 * x];
        c[h] += 1;
      }
    }
  }
  for (int z = 0; z < g.planes; ++z)
    for (int64_t h = 0; h < n; ++h) {
      out[h] += sums[z * n + h];
      number[h] += points[z * n + h];
    }
}

template <class T>
void count_reached(Array<const T, 4> grid, Array<const int16_t, 1> table,
                   Array<const float, 1> threshold, Array<double, 1> count, int threads) {
  const Grid<T> g(grid, table);
  const int64_t n = int64_t(count.shape(0));
  std::vector<int64_t> points(g.planes * n);
  const float* least = threshold.data();
  double* out = count.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int z = 0; z < g.planes; ++z) {
    int64_t* c = points.data() + z * n;
    for (int y = 0; y < g.rows; ++y) {
      const int64_t base = g.base(z, y);
      const T* p = g.row(z, y) + 2;
      const int end = g.reach(base);
      for (int x = 0; x < end; ++x) {
        const int h = g.shells[base + int64_t(x) * x];
        c[h] += float(p[4 * x]) >= least[h];
      }
    }
  }
  for (int z = 0; z < g.planes; ++z)
    for (int64_t h = 0; h < n; ++h) out[h] += double(points[z * n + h]);
}

// Rows `first` and following of all planes, into `out`; points outside the sphere become 0.
template <class T>
void wiener_rows(Array<const T, 4> grid, Array<const int16_t, 1> table, int first,
                 Array<const float, 2> tables, Array<float, 4> out, Array<double, 1> covered,
                 int threads) {
  const Grid<T> g(grid, table);
  const int64_t n = int64_t(covered.shape(0));
  const int rows = int(out.shape(1));
  if (int64_t(tables.shape(1)) < n || first + rows > g.rows || int(out.shape(2)) != g.width)
    throw std::invalid_argument("wiener_rows: tables or rows do not fit the grid");
  const int64_t width = int64_t(tables.shape(1));
  const float *factor = tables.data(), *extra = factor + width, *least = extra + width,
              *threshold = least + width;
  std::vector<int64_t> points(g.planes * n);
  float* target = out.data();
  double* number = covered.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int z = 0; z < g.planes; ++z) {
    int64_t* c = points.data() + z * n;
    for (int y = 0; y < rows; ++y) {
      const int64_t base = g.base(z, first + y);
      const T* p = g.row(z, first + y);
      float* q = target + (int64_t(z) * rows + y) * g.width * 2;
      const int end = g.reach(base);
      for (int x = 0; x < end; ++x) {
        const int h = g.shells[base + int64_t(x) * x];
        const float weight = float(p[4 * x + 2]);
        c[h] += weight >= threshold[h];
        const float inverse = 1.f / std::max(weight * factor[h] + extra[h], least[h]);
        q[2 * x] = float(p[4 * x]) * inverse;
        q[2 * x + 1] = float(p[4 * x + 1]) * inverse;
      }
      std::fill(q + 2 * end, q + 2 * g.width, 0.f);
    }
  }
  for (int z = 0; z < g.planes; ++z)
    for (int64_t h = 0; h < n; ++h) number[h] += double(points[z * n + h]);
}

// Adds each point to point nearest[.] of a coarser grid; `nearest` rises and has one entry a row.
template <class T>
void gather_nearest(Array<const T, 4> grid, Array<const int32_t, 1> nearest, Array<T, 4> out,
                    int threads) {
  const int planes = int(grid.shape(0)), rows = int(grid.shape(1)), width = int(grid.shape(2));
  const int out_rows = int(out.shape(1)), out_width = int(out.shape(2));
  if (grid.shape(3) != 4 || out.shape(3) != 4 || rows != 2 * width - 1 ||
      int(nearest.shape(0)) != rows || (planes != 1 && planes != rows))
    throw std::invalid_argument("gather_nearest: arrays do not fit");
  const T* source = grid.data();
  const int32_t* to = nearest.data();
  T* target = out.data();
  const int radius = out_width - 1, n_out = int(out.shape(0));
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int plane = 0; plane < n_out; ++plane)
    for (int z = 0; z < planes; ++z) {
      if (planes > 1 && to[z] + radius != plane) continue;
      for (int y = 0; y < rows; ++y) {
        const T* p = source + (int64_t(z) * rows + y) * width * 4;
        T* q = target + (int64_t(plane) * out_rows + to[y] + radius) * out_width * 4;
        for (int x = 0; x < width; ++x)
          for (int v = 0; v < 4; ++v) q[4 * to[width - 1 + x] + v] += p[4 * x + v];
      }
    }
}

template <class T>
void define(nb::module_& m) {
  m.def("weight_sums", &weight_sums<T>, nb::arg("grid"), nb::arg("table"), nb::arg("total"),
        nb::arg("count"), nb::arg("threads"));
  m.def("count_reached", &count_reached<T>, nb::arg("grid"), nb::arg("table"),
        nb::arg("threshold"), nb::arg("count"), nb::arg("threads"));
  m.def("wiener_rows", &wiener_rows<T>, nb::arg("grid"), nb::arg("table"), nb::arg("first"),
        nb::arg("tables"), nb::arg("out"), nb::arg("covered"), nb::arg("threads"));
  m.def("gather_nearest", &gather_nearest<T>, nb::arg("grid"), nb::arg("nearest"), nb::arg("out"),
        nb::arg("threads"));
}

}  // namespace

NB_MODULE(_half_shells, m) {
  m.doc() = "Sums over half shells and the Wiener division on the CPU.";
  define<float>(m);
  define<double>(m);
}
