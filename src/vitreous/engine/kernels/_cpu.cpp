// CPU versions of gather and insert: choice of instruction set, threads, and Python bindings.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "_slices.h"

namespace nb = nanobind;
using namespace vitreous;

namespace {

template <class T, int N>
using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;

struct Kernels {
  const char* name;
  decltype(&generic::gather_slices) gather;
  decltype(&generic::insert_slab) insert;
  decltype(&generic::symmetrise_plane) symmetrise;
  decltype(&generic::touch) touch;
  decltype(&generic::list_pixels) list_pixels;
};

const Kernels& kernels() {
  static const Kernels chosen = [] {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    if (v4) return Kernels{"x86-64-v4", v4::gather_slices, v4::insert_slab, v4::symmetrise_plane,
                      v4::touch, v4::list_pixels};
    if (v3) return Kernels{"x86-64-v3", v3::gather_slices, v3::insert_slab, v3::symmetrise_plane,
                      v3::touch, v3::list_pixels};
#endif
    return Kernels{"generic", generic::gather_slices, generic::insert_slab, generic::symmetrise_plane,
                      generic::touch, generic::list_pixels};
  }();
  return chosen;
}

// A geometry with the table that it points to.
struct Plan {
  Geometry g;
  std::vector<int> row_ends;

  Plan(int64_t side, int64_t width, int64_t rows, int64_t width_image, int64_t columns,
       int image_radius, float grid_radius2)
      : row_ends(rows) {
    if (side != 2 * width - 1) throw std::invalid_argument("grid: slow sides must be 2 width - 1");
    if (width_image != rows / 2 + 1) throw std::invalid_argument("slices: width must be rows/2 + 1");
    if (columns != 2 && columns != 3) throw std::invalid_argument("planes: 2 or 3 columns");
    if (double(side) * side * width >= 4294967296.0)
      throw std::invalid_argument("grid: more than 2^32 points");
    // Reading a point touches its upper neighbours, so the sphere must end a plane before the grid.
    const float reach = float(width - 2) + 0.999f;
    g = {int(width) - 1, int(side), int(width), int(rows), int(width_image), image_radius,
         std::min(grid_radius2, reach * reach), row_ends.data(), int(columns)};
    for (int y = 0; y < int(rows); ++y) {
      const int64_t ky = y <= rows / 2 ? y : y - rows;
      const int64_t left = int64_t(image_radius) * image_radius - ky * ky;
      row_ends[y] = left < 0 ? 0 : std::min<int64_t>(std::sqrt(double(left)) + 1e-9, width_image - 1) + 1;
    }
  }
};

// Slab borders with equal shares of pixels: slices of random direction put (R - |z|) in a plane.
std::vector<int> borders(const Geometry& g, int n_slabs) {
  std::vector<int> cuts{0};
  const double radius = g.centre + 1.0;
  for (int i = 1; i < n_slabs; ++i) {
    const double share = 2.0 * i / n_slabs - 1.0;  // -1 .. 1
    const double z = (share < 0 ? -1 : 1) * radius * (1.0 - std::sqrt(1.0 - std::fabs(share)));
    const int cut = std::clamp(int(std::lround(z)) + g.centre, 1, g.side - 1);
    if (cut > cuts.back()) cuts.push_back(cut);
  }
  cuts.push_back(g.side);
  return cuts;
}

void gather(Array<const float, 4> volume, Array<const float, 3> planes, Array<float, 4> out,
            int image_radius, float grid_radius2, int threads) {
  const Plan plan(volume.shape(1), volume.shape(2), out.shape(1), out.shape(2),
                  planes.shape(2), image_radius, grid_radius2);
  const Geometry& g = plan.g;
  const int64_t n = planes.shape(0);
  const float* source = volume.data();
  const float* p = planes.data();
  float* target = out.data();
  nb::gil_scoped_release release;
  const int64_t chunk = std::max<int64_t>(1, n / (8 * threads));
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int64_t first = 0; first < n; first += chunk)
    kernels().gather(g, source, p, first, std::min(first + chunk, n), target);
}

void insert(Array<float, 4> grid, Array<const float, 3> planes, Array<const float, 4> values,
            Array<const float, 3> weights, int image_radius, float grid_radius2, bool every_pixel,
            int threads) {
  const Plan plan(grid.shape(1), grid.shape(2), values.shape(1), values.shape(2),
                  planes.shape(2), image_radius, grid_radius2);
  const Geometry& g = plan.g;
  const int64_t n = planes.shape(0);
  float* target = grid.data();
  const float *p = planes.data(), *v = values.data(), *w = weights.data();
  nb::gil_scoped_release release;
  const std::vector<int> cuts = borders(g, threads > 1 ? 2 * threads : 1);
  const int64_t n_slabs = int64_t(cuts.size()) - 1;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int64_t slab = 0; slab < n_slabs; ++slab)
    kernels().insert(g, target, p, n, cuts[slab], cuts[slab + 1], every_pixel, v, w);
}

void symmetrise(Array<const float, 4> grid, Array<const float, 3> operators, Array<float, 4> out,
                int threads) {
  const int side = int(grid.shape(0)), centre = int(grid.shape(2)) - 1;
  if (side != 2 * centre + 1 || int(grid.shape(1)) != side || grid.shape(3) != 4)
    throw std::invalid_argument("grid: sides must be 2 width - 1, with four numbers a point");
  const float *source = grid.data(), *matrices = operators.data();
  const int64_t n = operators.shape(0);
  float* target = out.data();
  nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int z = 0; z < side; ++z)
    kernels().symmetrise(source, centre, matrices, n, z - centre, target);
}

// Seconds a pixel of one thread to fetch what the slices need, computing nothing: the best of `repeats`.
double memory_seconds(Array<float, 4> grid, Array<const float, 3> planes, int rows,
                      int image_radius, float grid_radius2, int repeats) {
  const Plan plan(grid.shape(1), grid.shape(2), rows, rows / 2 + 1, planes.shape(2), image_radius,
                  grid_radius2);
  const int64_t n = planes.shape(0);
  std::vector<uint32_t> index(n * rows * (rows / 2 + 1) + 64);
  nb::gil_scoped_release release;
  const int64_t count = kernels().list_pixels(plan.g, planes.data(), n, index.data());
  double best = 1e30;
  volatile float sink = 0;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    sink = kernels().touch(plan.g, index.data(), count, int(grid.shape(3)), grid.data());
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    best = std::min(best, spent.count());
  }
  (void)sink;
  return best / double(count);
}

}  // namespace

NB_MODULE(_cpu, m) {
  m.doc() = "Gather and insert of central slices on the CPU.";
  m.def("instruction_set", [] { return kernels().name; },
        "Name of the instruction set that the kernels use on this machine.");
  m.def("gather", &gather, nb::arg("volume"), nb::arg("planes"), nb::arg("out"),
        nb::arg("image_radius"), nb::arg("grid_radius2"), nb::arg("threads"));
  m.def("insert", &insert, nb::arg("grid"), nb::arg("planes"), nb::arg("values"),
        nb::arg("weights"), nb::arg("image_radius"), nb::arg("grid_radius2"),
        nb::arg("every_pixel"), nb::arg("threads"));
  m.def("memory_seconds", &memory_seconds, nb::arg("grid"), nb::arg("planes"), nb::arg("rows"),
        nb::arg("image_radius"), nb::arg("grid_radius2"), nb::arg("repeats"),
        "Seconds a pixel that fetching alone takes, for benchmarks.");
  m.def("symmetrise", &symmetrise, nb::arg("grid"), nb::arg("operators"), nb::arg("out"),
        nb::arg("threads"));
}
