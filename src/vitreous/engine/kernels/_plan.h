// Choice of the instruction set, and geometries with the tables that they point to.
#pragma once
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "_isa.h"
#include "_refine.h"
#include "_slices.h"

namespace vitreous {

struct Kernels {
  const char* name;
  decltype(&generic::gather_slices) gather;
  decltype(&generic::insert_slab) insert;
  decltype(&generic::list_runs) list_runs;
  decltype(&generic::gather_runs) gather_runs;
  decltype(&generic::insert_runs) insert_runs;
  decltype(&generic::plain_gather) plain_gather;
  decltype(&generic::plain_insert) plain_insert;
  decltype(&generic::symmetrise_plane) symmetrise;
  decltype(&generic::touch) touch;
  decltype(&generic::list_pixels) list_pixels;
  decltype(&generic::score_image) score_image;
  decltype(&generic::strips_of) strips_of;
  decltype(&generic::sum_strip) sum_strip;
  decltype(&generic::select) select;
  decltype(&generic::add_priors) add_priors;
  // Null where there is no half precision.
  void (*pack_corners)(const float*, int64_t, int64_t, int64_t, float, uint16_t*);
};

inline const Kernels& kernels() {
  static const Kernels chosen = [] {
#if defined(__x86_64__)
    const Isa best = best_isa();
    if (best == Isa::v4) return Kernels{"x86-64-v4", v4::gather_slices, v4::insert_slab, v4::list_runs, v4::gather_runs,
                      v4::insert_runs, v4::plain_gather, v4::plain_insert, v4::symmetrise_plane,
                      v4::touch, v4::list_pixels, v4::score_image, v4::strips_of, v4::sum_strip, v4::select, v4::add_priors, v4::pack_corners};
    if (best == Isa::v3) return Kernels{"x86-64-v3", v3::gather_slices, v3::insert_slab, v3::list_runs, v3::gather_runs,
                      v3::insert_runs, v3::plain_gather, v3::plain_insert, v3::symmetrise_plane,
                      v3::touch, v3::list_pixels, v3::score_image, v3::strips_of, v3::sum_strip, v3::select, v3::add_priors, v3::pack_corners};
#endif
    return Kernels{"generic", generic::gather_slices, generic::insert_slab, generic::list_runs, generic::gather_runs,
                      generic::insert_runs, generic::plain_gather, generic::plain_insert, generic::symmetrise_plane,
                      generic::touch, generic::list_pixels, generic::score_image, generic::strips_of, generic::sum_strip, generic::select, generic::add_priors, nullptr};
  }();
  return chosen;
}

// A geometry with the table that it points to.
struct Plan {
  Geometry g;
  std::vector<int> row_ends;
  std::vector<int64_t> row_offsets;

  Plan(int64_t side, int64_t width, int64_t rows, int64_t width_image, int64_t columns,
       int image_radius, float grid_radius2)
      : row_ends(rows), row_offsets(rows) {
    if (side != 2 * width - 1) throw std::invalid_argument("grid: slow sides must be 2 width - 1");
    if (width_image != rows / 2 + 1) throw std::invalid_argument("slices: width must be rows/2 + 1");
    if (columns != 2 && columns != 3) throw std::invalid_argument("planes: 2 or 3 columns");
    if (double(side) * side * width >= 4294967296.0)
      throw std::invalid_argument("grid: more than 2^32 points");
    // Reading a point touches its upper neighbours, so the sphere must end a plane before the grid.
    const float reach = float(width - 2) + 0.999f;
    g = {int(width) - 1, int(side), int(width), int(rows), int(width_image), image_radius,
         std::min(grid_radius2, reach * reach), row_ends.data(), int(columns),
         rows * width_image, row_offsets.data(), false, false};
    for (int y = 0; y < int(rows); ++y) {
      row_offsets[y] = y * width_image;
      const int64_t ky = y <= rows / 2 ? y : y - rows;
      const int64_t left = int64_t(image_radius) * image_radius - ky * ky;
      row_ends[y] = left < 0 ? 0 : std::min<int64_t>(std::sqrt(double(left)) + 1e-9, width_image - 1) + 1;
    }
  }

  // Rows one after the other, each from its first pixel, padded to a multiple of `pad`.
  Plan& pack(int pad, bool once) {
    int64_t used = 0;
    for (int y = 0; y < g.rows; ++y) {
      const int begin = once && y > g.rows / 2 ? 1 : 0;
      row_offsets[y] = used - begin;
      used += (std::max(row_ends[y] - begin, 0) + pad - 1) / pad * pad;
    }
    g.image_stride = used;
    g.once = once;
    return *this;
  }
};

}  // namespace vitreous
