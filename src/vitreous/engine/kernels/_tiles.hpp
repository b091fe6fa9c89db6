// Slices cut where they cross the borders of tiles, for grids beyond the caches.
//
// Included by each instruction set's copy, after _insert.hpp. A slice of random direction touches
// four or five cache lines a pixel that no other pixel of it needs. Taken tile by tile (kTile
// planes of z by kTile rows of y, all of x) the pixels of many slices share what is fetched.

namespace vitreous::VITREOUS_ISA {
namespace {

// Where a row crosses from tile to tile along y or z: start + kx * slope, in points of the grid.
struct Walk {
  float next = 1e30f, step = 1e30f;  // kx of the next border, and from border to border
  int tile, way;

  Walk(float slope, float start, int kx) : way(slope < 0.f ? -1 : 1) {
    tile = static_cast<int>(slope * kx + start) / kTile;
    if (std::fabs(slope) < 1e-6f) return;
    next = (static_cast<float>((tile + (slope < 0.f ? 0 : 1)) * kTile) - start) / slope;
    step = kTile / std::fabs(slope);
  }
  void go() {
    tile += way;
    next += step;
  }
};

// Rounding may put a pixel at a border into the tile beside its own, which does no harm: tiles
// worked on at one time lie a tile apart.
inline Run* list_stretch(const Geometry& g, const Slice& s, uint32_t image, int row,
                         const Stretch& t, Run* runs) {
  const float middle = 0.5f * (t.begin + t.end - 1);
  const float sign = middle * s.u[0] + s.v[0] * t.ky < 0.f ? -1.f : 1.f;
  const float centre = static_cast<float>(g.centre);
  Walk y(sign * s.u[1], sign * s.v[1] * t.ky + centre, t.begin);
  Walk z(sign * s.u[2], sign * s.v[2] * t.ky + centre, t.begin);
  const int across = tiles_across(g);
  int kx = t.begin;
  while (kx < t.end) {
    const float border = std::min(y.next, z.next);
    int to = border >= static_cast<float>(t.end) ? t.end : static_cast<int>(border) + 1;
    to = std::min(to, kx + kLongest);
    if (to > kx) {
      const int at_y = std::clamp(y.tile, 0, across - 1), at_z = std::clamp(z.tile, 0, across - 1);
      *runs++ = {image, static_cast<uint32_t>(at_z * across + at_y), static_cast<uint16_t>(row),
                 static_cast<uint16_t>(kx), static_cast<uint16_t>(to)};
      kx = to;
    }
    if (static_cast<float>(kx) > border) y.next <= z.next ? y.go() : z.go();
  }
  return runs;
}

// Locate the pixels of runs, a block at a time; `fetch` and `taken` see each run before and after.
template <int kSize, class Fetch, class Taken, class Use>
inline void for_runs(const Geometry& g, const float* planes, const Run* runs, int64_t n,
                     Places<kSize>& block, const Fetch& fetch, const Taken& taken, const Use& use) {
  constexpr int kSoon = 4;  // runs
  auto pixel_of = [&](const Run& r) {
    return int64_t(r.image) * g.image_stride + g.row_offsets[r.row] + r.begin;
  };
  for (int64_t i = 0; i < n; ++i) {
    const Run& r = runs[i];
    if (i + kSoon < n) fetch(pixel_of(runs[i + kSoon]));
    const Slice slice(planes + 6 * int64_t(r.image));
    const int ky = r.row <= g.rows / 2 ? r.row : r.row - g.rows;
    if (block.used + r.end - r.begin > kSize) use();
    const int64_t pixel = pixel_of(r);
    locate<false, kLanes / 2>(g, slice, {r.begin, r.end, ky}, pixel, block);
    taken(pixel, r.end - r.begin);
  }
  if (block.used > 0) use();
}

}  // namespace

int64_t list_runs(const Geometry& g, const float* planes, int64_t image, bool once, Run* runs) {
  const Run* first = runs;
  const Slice s(g, planes, image);
  for (int y = 0; y < g.rows; ++y) {
    const int ky = y <= g.rows / 2 ? y : y - g.rows;
    int begin = once && ky < 0 ? 1 : 0, end = g.row_ends[y];
    if (!s.inside) within_sphere(g, s, ky, begin, end);
    Stretch stretches[2];
    const int count = split_at_x0(s, ky, begin, end, stretches);
    for (int i = 0; i < count; ++i)
      runs = list_stretch(g, s, static_cast<uint32_t>(image), y, stretches[i], runs);
  }
  return runs - first;
}

void gather_runs(const Geometry& g, const float* volume, const float* planes, const Run* runs,
                 int64_t n, float* out) {
  Block block;
  block.used = block.n_parts = 0;
  for_runs(
      g, planes, runs, n, block,
      [&](int64_t pixel) {
        __builtin_prefetch(out + 2 * pixel, 1);
        __builtin_prefetch(out + 2 * pixel + 16, 1);
      },
      [](int64_t, int) {},
      [&] {
        close(block);
        for (int i = 0; i < block.n_parts; ++i) gather_part(g, volume, block, block.parts[i], out);
        block.used = block.n_parts = 0;
      });
}

void insert_runs(const Geometry& g, float* grid, const float* planes, const Run* runs, int64_t n,
                 const float* values, const float* weights) {
  Load load;
  for_runs(
      g, planes, runs, n, load,
      [&](int64_t pixel) {
        __builtin_prefetch(values + 2 * pixel);
        __builtin_prefetch(values + 2 * pixel + 16);
        __builtin_prefetch(weights + pixel);
      },
      [&](int64_t pixel, int count) {
        take(load, load.used - count, count, values + 2 * pixel, weights + pixel);
      },
      [&] { add_load<true, true>(g, grid, load, 0, g.side, nullptr, nullptr); });
}

}  // namespace vitreous::VITREOUS_ISA
