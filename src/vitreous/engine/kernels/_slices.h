// What the bindings and the per-instruction-set copies of the slice kernels share.
#pragma once
#include <cstdint>

namespace vitreous {

constexpr int kTile = 32;      // planes of z, and rows of y, of a tile
constexpr int kLongest = 192;  // pixels of a run

struct Geometry {
  int centre;          // grid planes on each side of the origin
  int side, width;     // 2 * centre + 1, centre + 1
  int rows;            // image side
  int width_image;     // rows / 2 + 1
  int image_radius;    // pixels with kx^2 + ky^2 above its square are left out
  float grid_radius2;  // points of the grid farther from the origin (squared) are left out
  const int* row_ends; // per image row: one past the last kx inside the image radius
  int columns;         // 2: planes; 3: paraboloids, whose third column multiplies kx^2 + ky^2
  int64_t image_stride;        // numbers from image to image
  const int64_t* row_offsets;  // where kx = 0 of each row lies in its image
  bool once;                   // gather leaves out the pixels of kx = 0 that are there twice
  bool cached;                 // insertion finds the grid in the cache: nothing is fetched ahead
};

struct Run {  // pixels [begin, end) of a row of an image, all in one tile
  uint32_t image, tile;
  uint16_t row, begin, end;
};

static inline int tiles_across(const Geometry& g) { return (g.side + kTile - 1) / kTile; }

// No image has more runs: a row is cut at x = 0, and each part leaves as many tiles as there are.
static inline int64_t most_runs(const Geometry& g) {
  return int64_t(g.rows) * (2 * (2 * tiles_across(g) + 1) + g.width_image / kLongest + 1);
}

#define VITREOUS_DECLARE(isa)                                                                    \
  namespace isa {                                                                                \
  void gather_slices(const Geometry&, const float* volume, const float* planes, int64_t first,  \
                     int64_t last, float* out);                                                  \
  void insert_slab(const Geometry&, float* grid, const float* planes, int64_t n, int low,       \
                   int high, bool every_pixel, const float* values, const float* weights);      \
  int64_t list_runs(const Geometry&, const float* planes, int64_t image, bool once, Run* runs); \
  void gather_runs(const Geometry&, const float* volume, const float* planes, const Run* runs,  \
                   int64_t n, float* out);                                                       \
  void insert_runs(const Geometry&, float* grid, const float* planes, const Run* runs, int64_t n, \
                   const float* values, const float* weights);                                   \
  void symmetrise_plane(const float* grid, int centre, const float* operators,                  \
                        int64_t n_operators, int z, float* out);                                \
  void plain_gather(const Geometry&, const float* volume, const float* planes, int64_t n,       \
                    float* out);                                                                 \
  void plain_insert(const Geometry&, float* grid, const float* planes, int64_t n,               \
                    const float* values, const float* weights);                                  \
  float touch(const Geometry&, const uint32_t* index, int64_t n, int numbers, float* grid);      \
  int64_t list_pixels(const Geometry&, const float* planes, int64_t n, uint32_t* index);         \
  }
VITREOUS_DECLARE(generic)
#if defined(__x86_64__)
VITREOUS_DECLARE(v3)
VITREOUS_DECLARE(v4)
#define VITREOUS_DECLARE_CORNERS(isa)                                                              \
  namespace isa {                                                                                  \
  void pack_corners(const float* volume, int64_t side, int64_t width, int64_t z, float times,     \
                    uint16_t* corners);                                                            \
  }
VITREOUS_DECLARE_CORNERS(v3)
VITREOUS_DECLARE_CORNERS(v4)
#undef VITREOUS_DECLARE_CORNERS
#endif
#undef VITREOUS_DECLARE

}  // namespace vitreous
