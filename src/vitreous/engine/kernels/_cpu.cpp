// CPU versions of gather and insert: choice of instruction set, threads, and Python bindings.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "_numpy.h"
#include "_share.h"

namespace nb = nanobind;
using namespace vitreous;

namespace {

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
  gather_all(g, source, p, n, target, threads);
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
  insert_all(g, target, p, n, every_pixel, v, w, threads);
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

// The loops that benchmarks compare with, on one thread.
void plain_gather(Array<const float, 4> volume, Array<const float, 3> planes, Array<float, 4> out,
                  int image_radius, float grid_radius2) {
  const Plan plan(volume.shape(1), volume.shape(2), out.shape(1), out.shape(2), 2, image_radius,
                  grid_radius2);
  nb::gil_scoped_release release;
  kernels().plain_gather(plan.g, volume.data(), planes.data(), planes.shape(0), out.data());
}

void plain_insert(Array<float, 4> grid, Array<const float, 3> planes, Array<const float, 4> values,
                  Array<const float, 3> weights, int image_radius, float grid_radius2) {
  const Plan plan(grid.shape(1), grid.shape(2), values.shape(1), values.shape(2), 2, image_radius,
                  grid_radius2);
  nb::gil_scoped_release release;
  kernels().plain_insert(plan.g, grid.data(), planes.data(), planes.shape(0), values.data(),
                         weights.data());
}

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec + 1e-9 * now.tv_nsec;
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
    const double start = thread_seconds();
    sink = kernels().touch(plan.g, index.data(), count, int(grid.shape(3)), grid.data());
    best = std::min(best, thread_seconds() - start);
  }
  (void)sink;
  return best / double(count);
}

}  // namespace

void bind_refinement(nb::module_& m);

NB_MODULE(_cpu, m) {
  m.doc() = "Gather and insert of central slices on the CPU.";
  m.def("instruction_set", [] { return kernels().name; },
        "Name of the instruction set that the kernels use on this machine.");
  m.def("gather", &gather, nb::arg("volume"), nb::arg("planes"), nb::arg("out"),
        nb::arg("image_radius"), nb::arg("grid_radius2"), nb::arg("threads"));
  m.def("insert", &insert, nb::arg("grid"), nb::arg("planes"), nb::arg("values"),
        nb::arg("weights"), nb::arg("image_radius"), nb::arg("grid_radius2"),
        nb::arg("every_pixel"), nb::arg("threads"));
  m.def("plain_gather", &plain_gather, nb::arg("volume"), nb::arg("planes"), nb::arg("out"),
        nb::arg("image_radius"), nb::arg("grid_radius2"), "For benchmarks: planes inside the grid.");
  m.def("plain_insert", &plain_insert, nb::arg("grid"), nb::arg("planes"), nb::arg("values"),
        nb::arg("weights"), nb::arg("image_radius"), nb::arg("grid_radius2"),
        "For benchmarks: planes inside the grid.");
  m.def("memory_seconds", &memory_seconds, nb::arg("grid"), nb::arg("planes"), nb::arg("rows"),
        nb::arg("image_radius"), nb::arg("grid_radius2"), nb::arg("repeats"),
        "Seconds a pixel that fetching alone takes, for benchmarks.");
  m.def("symmetrise", &symmetrise, nb::arg("grid"), nb::arg("operators"), nb::arg("out"),
        nb::arg("threads"));
  bind_refinement(m);
}
