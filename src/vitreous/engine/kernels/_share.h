// How the work of gathering and inserting is cut, ordered and shared between threads.
#pragma once
#include <omp.h>

#include <numeric>

#include "_plan.h"

namespace vitreous {

// The runs of some images, sorted by tile; within a tile in the order of the images.
struct SortedRuns {
  std::vector<Run> runs;
  std::vector<int64_t> borders;  // of the tiles in `runs`

  SortedRuns(const Geometry& g, const float* planes, int64_t first, int64_t last, bool once,
             int threads)
      : borders(int64_t(tiles_across(g)) * tiles_across(g) + 1) {
    const int64_t n_tiles = int64_t(borders.size()) - 1;
    std::vector<std::vector<Run>> lists(threads);
    std::vector<std::vector<int64_t>> counts(threads, std::vector<int64_t>(n_tiles));
    const int64_t share = (last - first + threads - 1) / threads;
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int t = 0; t < threads; ++t) {
      std::vector<Run> image(most_runs(g));
      for (int64_t n = first + t * share; n < std::min(last, first + (t + 1) * share); ++n) {
        const int64_t count = kernels().list_runs(g, planes, n, once, image.data());
        lists[t].insert(lists[t].end(), image.begin(), image.begin() + count);
      }
      for (const Run& run : lists[t]) ++counts[t][run.tile];
    }
    int64_t total = 0;  // counts become places
    for (int64_t tile = 0; tile < n_tiles; ++tile) {
      borders[tile] = total;
      for (int t = 0; t < threads; ++t) total += std::exchange(counts[t][tile], total);
    }
    borders[n_tiles] = total;
    runs.resize(total);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int t = 0; t < threads; ++t)
      for (const Run& run : lists[t]) runs[counts[t][run.tile]++] = run;
  }

  int64_t size(int64_t tile) const { return borders[tile + 1] - borders[tile]; }
};

// How far apart the edges of consecutive slices lie, on average, in points of the grid.
inline double wandering(const Geometry& g, const float* planes, int64_t n) {
  double sum = 0;
  for (int64_t i = 6; i < 6 * n; ++i) sum += std::fabs(planes[i] - planes[i - 6]);
  return sum * g.image_radius / (2.0 * std::max<int64_t>(1, n - 1));
}

// Whether so many images are better worked through tile by tile; never a matter of threads.
// Measured on a Zen 4 with 1 MB and 32 MB of cache: the grid must be beyond these, the pixels so
// many that they would fetch more without tiles than the whole grid, and a slice must not find in
// the cache what the one before it left there.
inline bool tiled(const Geometry& g, const float* planes, int64_t n, int numbers) {
  constexpr int64_t kMiB = 1 << 20;
  const int64_t bytes = 4 * int64_t(numbers) * g.side * g.side * g.width;
  const int64_t pixels = std::accumulate(g.row_ends, g.row_ends + g.rows, int64_t(0));
  if (g.columns != 2 || bytes < 40 * kMiB || 32 * numbers * pixels * n < bytes) return false;
  return 288 * pixels > 32 * kMiB || wandering(g, planes, n) > 16;
}

// Whether slices find what they add to in the cache, because the grid is small or because the slice
// before them was there. Fetching ahead then only costs.
inline bool cached(const Geometry& g, const float* planes, int64_t n) {
  constexpr int64_t kMiB = 1 << 20;
  const int64_t bytes = 16 * int64_t(g.side) * g.side * g.width;
  const int64_t pixels = std::accumulate(g.row_ends, g.row_ends + g.rows, int64_t(0));
  return bytes < 4 * kMiB || (288 * pixels < kMiB && wandering(g, planes, n) < 4);
}

constexpr int64_t kImagesAtOnce = 4096;  // limits the memory of the runs

// Slice after slice, whatever the cache holds.
inline void gather_each(const Geometry& g, const float* volume, const float* planes, int64_t n,
                        float* out, int threads) {
  const int64_t chunk = std::max<int64_t>(1, n / (8 * threads));
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
  for (int64_t first = 0; first < n; first += chunk)
    kernels().gather(g, volume, planes, first, std::min(first + chunk, n), out);
}

inline void gather_all(const Geometry& g, const float* volume, const float* planes, int64_t n,
                       float* out, int threads) {
  if (!tiled(g, planes, n, 2)) {
    gather_each(g, volume, planes, n, out, threads);
    return;
  }
  for (int64_t first = 0; first < n; first += kImagesAtOnce) {
    const int64_t last = std::min(first + kImagesAtOnce, n);
    const SortedRuns sorted(g, planes, first, last, g.once, threads);
    const int64_t n_tiles = int64_t(sorted.borders.size()) - 1;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t tile = 0; tile < n_tiles; ++tile)
      kernels().gather_runs(g, volume, planes, sorted.runs.data() + sorted.borders[tile],
                            sorted.size(tile), out);
  }
}

// Slab borders with equal shares of the pixels, counted on some of the slices: those that come
// together are often seen from nearly one side, and then lie in few planes.
inline std::vector<int> borders(const Geometry& g, const float* planes, int64_t n, int n_slabs) {
  const int64_t step = std::max<int64_t>(1, n / 64);
  const int apart = std::max(1, g.image_radius / 12);
  std::vector<int64_t> pixels(g.side);
  int64_t all = 0;
  for (int64_t i = 0; n_slabs > 1 && i < n; i += step) {
    const float* m = planes + 3 * g.columns * i;
    const float *to_x = m, *to_z = m + 2 * g.columns;
    for (int ky = -g.image_radius; ky <= g.image_radius; ky += apart)
      for (int kx = 0; kx * kx + ky * ky <= g.image_radius * g.image_radius; kx += apart) {
        const float k[3] = {float(kx), float(ky), float(kx * kx + ky * ky)};
        float x = 0.f, z = 0.f;
        for (int c = 0; c < g.columns; ++c) x += to_x[c] * k[c], z += to_z[c] * k[c];
        const int plane = int(std::floor(x < 0.f ? -z : z)) + g.centre;
        ++pixels[std::clamp(plane, 0, g.side - 1)];
        ++all;
      }
  }
  std::vector<int> cuts{0};
  int64_t below = 0;
  for (int z = 0; z + 1 < g.side; ++z) {
    below += pixels[z];
    if (below * n_slabs >= all * int64_t(cuts.size()) && all > 0) cuts.push_back(z + 1);
  }
  cuts.push_back(g.side);
  return cuts;
}

inline void insert_all(Geometry g, float* grid, const float* planes, int64_t n, bool every_pixel,
                       const float* values, const float* weights, int threads) {
  g.cached = cached(g, planes, n);
  if (!tiled(g, planes, n, 4)) {
    const std::vector<int> cuts = borders(g, planes, n, threads);
    const int64_t n_slabs = int64_t(cuts.size()) - 1;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t slab = 0; slab < n_slabs; ++slab)
      kernels().insert(g, grid, planes, n, cuts[slab], cuts[slab + 1], every_pixel, values, weights);
    return;
  }
  const int across = tiles_across(g);
  for (int64_t first = 0; first < n; first += kImagesAtOnce) {
    const int64_t last = std::min(first + kImagesAtOnce, n);
    const SortedRuns sorted(g, planes, first, last, !every_pixel, threads);
    // A point at the border of a tile reaches into the next one: neighbours wait for each other.
    for (int colour = 0; colour < 4; ++colour) {
      const int z0 = colour / 2, y0 = colour % 2;
      const int wide = (across - y0 + 1) / 2, high = (across - z0 + 1) / 2;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
      for (int i = 0; i < wide * high; ++i) {
        const int64_t tile = int64_t(z0 + 2 * (i / wide)) * across + y0 + 2 * (i % wide);
        kernels().insert_runs(g, grid, planes, sorted.runs.data() + sorted.borders[tile],
                              sorted.size(tile), values, weights);
      }
    }
  }
}

}  // namespace vitreous
