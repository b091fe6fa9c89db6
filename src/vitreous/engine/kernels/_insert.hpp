// Insert slices into the planes [low, high) of an accumulator: the adjoint of gathering.
//
// Included by each instruction set's copy, after _slices.hpp. Four numbers a point: real part,
// imaginary part, weight, nothing.
//
// Threads share a grid by slabs of z planes, each with one owner: no atomics, and sums that do not
// depend on the number of threads. Along a row x, y and z are linear in kx, so the stretch that
// lies in a slab is an interval. Neighbours in a row often touch the same point, and what the
// second reads would have to wait for what the first writes; so the quarters of a block are gone
// through side by side. Which pixels make up a block, and their places in it, are the same for
// every slab, and with them the order in which a point is added to.

namespace vitreous::VITREOUS_ISA {
namespace {

// Narrow a stretch on one side of x = 0 to the pixels whose z may fall in [low, high); a little too many is allowed.
inline void within_slab(const Slice& s, Stretch& t, float low, float high) {
  const float middle = 0.5f * (t.begin + t.end - 1);
  const float sign = middle * s.u[0] + s.v[0] * t.ky < 0.f ? -1.f : 1.f;
  const float a = sign * s.u[2], b = sign * s.v[2] * t.ky;
  const float z_first = t.begin * a + b, z_last = (t.end - 1) * a + b;
  const float z_min = std::min(z_first, z_last), z_max = std::max(z_first, z_last);
  if (z_min >= low && z_max < high) return;
  if (z_max < low - 0.01f || z_min >= high + 0.01f) {
    t.end = t.begin;
  } else if (std::fabs(a) > 1e-6f) {
    const float one = (low - b) / a, other = (high - b) / a;
    const float from = std::floor(std::min(one, other)) - 1.f;
    const float to = std::ceil(std::max(one, other)) + 2.f;
    const float begin = static_cast<float>(t.begin), end = static_cast<float>(t.end);
    t.begin = static_cast<int>(std::clamp(from, begin, end));
    t.end = static_cast<int>(std::clamp(to, begin, end));
  }
}

// Tell, cheaply, that no pixel of a row (nor its opposite point) lies in [low, high).
inline bool misses_slab(const Slice& s, int ky, int end, float low, float high) {
  const float one = s.v[2] * ky, other = one + s.u[2] * end;
  const float bottom = std::min(one, other) - 0.01f, top = std::max(one, other) + 0.01f;
  return (top < low || bottom >= high) && (-bottom < low || -top >= high);
}

constexpr int64_t kNeighbours = 32;  // slices that are gone through strip by strip
constexpr int kStripAdded = 1500;    // pixels of a slice whose surroundings stay in 1 MB of cache
constexpr int kLoad = kLongest;  // pixels of a load, few enough for the nearest cache

struct Load : Places<kLoad> {  // located pixels and what they carry
  alignas(64) float4v value[kLoad + 2 * kLanes];
  bool here[kLoad];  // whether the slab has the pixel of this place
  bool any;          // or any of them

  Load() {
    std::memset(index, 0, sizeof index);
    clear();
  }
  void clear() {
    used = n_parts = 0;
    std::memset(here, 0, sizeof here);
    any = false;
  }
};

// Fetch what pixels carry; those without weight carry nothing.
inline void take(Load& load, int first, int count, const float* values, const float* weights) {
  int i = 0;
#if defined(__AVX512F__)
  const __m512i weave = _mm512_setr_epi32(0, 1, 16, 20, 2, 3, 17, 20, 4, 5, 18, 20, 6, 7, 19, 20);
  const __m512i each4 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  for (; i < count; i += 4) {  // what is written behind the last pixel, the next ones overwrite
    const int left = std::min(count - i, 4);
    const auto numbers = static_cast<__mmask8>((1 << (2 * left)) - 1);
    const auto pixels = static_cast<__mmask8>((1 << left) - 1);
    const __m512 v = _mm512_zextps256_ps512(_mm256_maskz_loadu_ps(numbers, values + 2 * i));
    const __m512 w = _mm512_zextps128_ps512(_mm_maskz_loadu_ps(pixels, weights + i));
    const __m512 signs = _mm512_castps128_ps512(_mm_loadu_ps(load.sign + first + i));
    const __mmask16 counted = _mm512_cmp_ps_mask(_mm512_permutexvar_ps(each4, w),
                                                 _mm512_setzero_ps(), _CMP_GT_OQ);
    const __m512 pixel = _mm512_maskz_permutex2var_ps(counted, v, weave, w);
    const __m512 sign = _mm512_permutexvar_ps(each4, signs);
    _mm512_storeu_ps(&load.value[first + i], _mm512_mask_mul_ps(pixel, 0x2222, pixel, sign));
  }
#endif
  for (; i < count; ++i) {
    const float w = weights[i];
    const float4v pixel = {values[2 * i], load.sign[first + i] * values[2 * i + 1], w, 0.f};
    load.value[first + i] = w > 0.f ? pixel : float4v{0.f, 0.f, 0.f, 0.f};
  }
}

// Two voxels, near and far along x, four numbers each. Products are fused with sums here and not
// as the compiler likes, so that every slab rounds alike.
struct Pair {
#if defined(__AVX2__)
  __m256 both;
  Pair(float4v value, float fx) {
    const __m256 v = _mm256_set_m128(__m128(value), __m128(value));
    const __m256 w = _mm256_blend_ps(_mm256_set1_ps(1.f - fx), _mm256_set1_ps(fx), 0xf0);
    both = _mm256_mul_ps(v, w);
  }
  explicit Pair(__m256 b) : both(b) {}
  Pair times(float f) const { return Pair(_mm256_mul_ps(both, _mm256_set1_ps(f))); }
  Pair rest(float f) const { return Pair(_mm256_fnmadd_ps(both, _mm256_set1_ps(f), both)); }
  void add_to(float* p) const { _mm256_storeu_ps(p, _mm256_add_ps(_mm256_loadu_ps(p), both)); }
  void add_times(float f, float* p) const {
    _mm256_storeu_ps(p, _mm256_fmadd_ps(both, _mm256_set1_ps(f), _mm256_loadu_ps(p)));
  }
#else
  float4v near, far;
  Pair(float4v value, float fx) : near((1.f - fx) * value), far(fx * value) {}
  Pair(float4v n, float4v f) : near(n), far(f) {}
  Pair times(float f) const { return Pair(f * near, f * far); }
  Pair rest(float f) const { return Pair(near - f * near, far - f * far); }
  void add_to(float* p) const {
    const float4v a = load(p) + near, b = load(p + 4) + far;
    std::memcpy(p, &a, sizeof a);
    std::memcpy(p + 4, &b, sizeof b);
  }
  void add_times(float f, float* p) const { times(f).add_to(p); }
#endif
};

// Add a pixel to what lies between two places of the grid or, if that is all, without looking.
template <bool kWhole>
inline void add_pixel(const Load& load, int i, float* grid, int64_t y_step, int64_t z_step,
                      int64_t from, int64_t to) {
  const int64_t place = 4 * int64_t(load.index[i]);
  const float fz = load.fz[i];
  const Pair x(load.value[i], load.fx[i]);
  const Pair y1 = x.times(load.fy[i]), y0 = x.rest(load.fy[i]);
  float* at = grid + place;
  // A pixel between two planes belongs to both; here only what this slab owns is added.
  if (kWhole || (place >= from && place < to)) {
    y0.rest(fz).add_to(at);
    y1.rest(fz).add_to(at + y_step);
  }
  if (kWhole || (place >= from - z_step && place < to - z_step)) {
    y0.add_times(fz, at + z_step);
    y1.add_times(fz, at + z_step + y_step);
  }
}

// Add a load to the grid. Meanwhile fetch what the next pixels carry, where it is known: it comes
// from far, and once.
template <bool kWhole, bool kFetch>
inline void add_load(const Geometry& g, float* grid, Load& load, int low, int high,
                     const float* next_values, const float* next_weights) {
  constexpr int kSideBySide = 4, kSoon = kAhead / kSideBySide;
  const int64_t y_step = 4 * int64_t(g.width), z_step = y_step * g.side;
  const int64_t from = low * z_step, to = high * z_step;
  if (!kWhole && !load.any) {
    load.used = 0;
    return;
  }
  close(load);
  auto add = [&](int i) {
    if (!kWhole && !load.here[i]) return;
    if (kFetch) prefetch<1>(grid + 4 * int64_t(load.index[i + kSoon]), y_step, z_step);
    add_pixel<kWhole>(load, i, grid, y_step, z_step, from, to);
  };
  const int share = load.used / kSideBySide;
  for (int i = 0; i < share; ++i) {
    if (kWhole && next_values) {
      __builtin_prefetch(next_values + 16 * i);
      if (i % 2) __builtin_prefetch(next_weights + 8 * i);
    }
    for (int k = 0; k < kSideBySide; ++k) add(k * share + i);
  }
  for (int i = kSideBySide * share; i < load.used; ++i) add(i);
  load.clear();
}

// Locate what the slab may have of the pixels [begin, end) of a row; the first has place `place`.
template <bool kWhole>
inline void locate_row(const Geometry& g, const Slice& s, const Stretch& row, int64_t pixel,
                       int place, float z_low, float z_high, const float* values,
                       const float* weights, Load& load) {
  Stretch stretches[2] = {row};
  // A paraboloid crosses slabs in ways that no interval tells: each slab looks at all its pixels.
  const bool cut = !kWhole && !s.curved;
  const int n = cut ? split_at_x0(s, row.ky, row.begin, row.end, stretches) : 1;
  for (int i = 0; i < n; ++i) {
    Stretch t = stretches[i];
    if (cut) within_slab(s, t, z_low, z_high);
    if (t.begin >= t.end) continue;
    const int skipped = t.begin - row.begin, count = t.end - t.begin;
    load.used = place + skipped;
    s.curved ? locate<true>(g, s, t, pixel, load) : locate<false>(g, s, t, pixel, load);
    take(load, place + skipped, count, values + 2 * (pixel + skipped), weights + pixel + skipped);
    if (!kWhole) std::memset(load.here + place + skipped, 1, count);
    load.any = true;
  }
  load.n_parts = 0;
}

template <bool kWhole, bool kFetch>
inline void insert_planes(const Geometry& g, float* grid, const float* planes, int64_t n_slices,
                          int low, int high, bool every_pixel, const float* values,
                          const float* weights) {
  // A point in the plane below reaches into the first plane of the slab.
  const float z_low = static_cast<float>(low - 1 - g.centre), z_high = static_cast<float>(high - g.centre);
  Load load;
  auto add = [&](int64_t next) {
    add_load<kWhole, kFetch>(g, grid, load, low, high, values + 2 * next, weights + next);
  };
  auto insert_strip = [&](int64_t n, int first_row, int last_row) {
    const Slice slice(g, planes, n);
    for (int y = first_row; y < last_row; ++y) {
      const int ky = y <= g.rows / 2 ? y : y - g.rows;
      Stretch row = {!every_pixel && ky < 0 ? 1 : 0, g.row_ends[y], ky};
      const int end = row.end;
      if (!slice.inside) within_sphere(g, slice, ky, row.begin, row.end);
      const bool missed = !kWhole && !slice.curved && misses_slab(slice, ky, end, z_low, z_high);
      while (row.begin < row.end) {
        Stretch part = row;
        part.end = std::min(row.end, row.begin + kLoad);
        const int64_t pixel = n * g.image_stride + g.row_offsets[y] + part.begin;
        if (load.used + part.end - part.begin > kLoad) add(pixel);
        const int place = load.used;
        if (!missed)
          locate_row<kWhole>(g, slice, part, pixel, place, z_low, z_high, values, weights, load);
        load.used = place + part.end - part.begin;
        row.begin = part.end;
      }
    }
  };
  // Slices that come together often lie together: strip by strip, they find in the cache what the
  // first of them has fetched.
  for (int64_t first = 0; first < n_slices; first += kNeighbours) {
    const int64_t last = std::min(first + kNeighbours, n_slices);
    for (int y = 0; y < g.rows;) {
      const int first_row = y;
      for (int pixels = 0; y < g.rows && pixels < kStripAdded; ++y) pixels += g.row_ends[y];
      for (int64_t n = first; n < last; ++n) insert_strip(n, first_row, y);
    }
  }
  add(0);
}

}  // namespace

void insert_slab(const Geometry& g, float* grid, const float* planes, int64_t n_slices, int low,
                 int high, bool every_pixel, const float* values, const float* weights) {
  const bool whole = low <= 0 && high >= g.side;
  const auto insert = whole ? (g.cached ? insert_planes<true, false> : insert_planes<true, true>)
                            : (g.cached ? insert_planes<false, false> : insert_planes<false, true>);
  insert(g, grid, planes, n_slices, low, high, every_pixel, values, weights);
}

}  // namespace vitreous::VITREOUS_ISA
