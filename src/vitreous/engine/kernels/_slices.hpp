// Gather central slices from a half-stored Fourier volume, and insert them back.
//
// Compiled once per instruction set (see CMakeLists.txt); VITREOUS_ISA names the copy.
//
// The grid is stored for x >= 0 with the origin at (centre, centre, 0):
//   index(z, y, x) = ((z + centre) * side + (y + centre)) * width + x,
//   side = 2 * centre + 1, width = centre + 1.
// A slice maps image frequencies (kx, ky) to grid coordinates (x, y, z) = kx * u + ky * v, on a
// paraboloid + (kx^2 + ky^2) * w with w at right angles to u and v (the Ewald sphere).
// Points with x < 0 are read at the opposite point and conjugated.
//
// The pixels of a few rows are located first, in vector registers, and then read or written, with
// the addresses known far enough ahead to prefetch. Insertion is in _insert.hpp; grids beyond the
// caches are worked through in tiles, see _tiles.hpp.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "_slices.h"

namespace vitreous::VITREOUS_ISA {
namespace {

constexpr int kLanes = 16;    // pixels are located in groups of so many, at most
constexpr int kBlock = 1024;  // pixels located before they are used
constexpr int kAhead = 16;    // pixels between a prefetch and its use

struct Stretch {  // pixels [begin, end) of row ky
  int begin, end, ky;
};

struct Located {
  int first, count;  // in the block
  int64_t pixel;     // first pixel in the image stack
};

template <int kSize>
struct Places {
  alignas(64) uint32_t index[kSize + 2 * kLanes];
  alignas(64) float fx[kSize + 2 * kLanes], fy[kSize + 2 * kLanes], fz[kSize + 2 * kLanes];
  alignas(64) float sign[kSize + 2 * kLanes];  // -1: the opposite point, conjugated
  Located parts[kSize];
  int used, n_parts;
};
using Block = Places<kBlock>;

struct Slice {
  float u[3], v[3], w[3];
  bool curved;
  bool inside;  // the whole disc of the image lies in the sphere of the grid

  Slice(const Geometry& g, const float* planes, int64_t n) : curved(g.columns == 3) {
    const float* m = planes + 3 * g.columns * n;
    for (int c = 0; c < 3; ++c) {
      u[c] = m[g.columns * c];
      v[c] = m[g.columns * c + 1];
      w[c] = curved ? m[3 * c + 2] : 0.f;
    }
    const double uu = dot(u, u), vv = dot(v, v), uv = dot(u, v);
    const double largest = 0.5 * (uu + vv + std::sqrt((uu - vv) * (uu - vv) + 4 * uv * uv));
    inside = !curved && largest * g.image_radius * g.image_radius <= g.grid_radius2;
  }

  explicit Slice(const float* m) : u{m[0], m[2], m[4]}, v{m[1], m[3], m[5]}, w{}, curved(false) {}

  static double dot(const float* a, const float* b) {
    return double(a[0]) * b[0] + double(a[1]) * b[1] + double(a[2]) * b[2];
  }
};

// Leave out the ends of a row that lie outside the sphere (paraboloids, and planes with
// magnification). The squared radius is a convex function of kx, so that what remains is inside.
inline void within_sphere(const Geometry& g, const Slice& s, int ky, int& begin, int& end) {
  const double uu = Slice::dot(s.u, s.u), uv = Slice::dot(s.u, s.v) * ky;
  const double c = Slice::dot(s.v, s.v) * ky * ky - double(g.grid_radius2);
  const double ww = Slice::dot(s.w, s.w);
  auto outside = [&](int kx) {
    const double k2 = double(kx) * kx + double(ky) * ky;
    return kx * kx * uu + 2.0 * kx * uv + ww * k2 * k2 + c > 0;
  };
  while (end > begin && outside(end - 1)) --end;
  while (begin < end && outside(begin)) ++begin;
}

// Cut a row where it crosses x = 0; returns the number of stretches.
inline int split_at_x0(const Slice& s, int ky, int begin, int end, Stretch* out) {
  if (begin >= end) return 0;
  const float x_row = s.v[0] * ky;
  auto negative = [&](int kx) { return kx * s.u[0] + x_row < 0.f; };
  const bool first = negative(begin), last = negative(end - 1);
  if (first == last) {
    out[0] = {begin, end, ky};
    return 1;
  }
  int cut = std::clamp(static_cast<int>(std::ceil(-x_row / s.u[0])), begin + 1, end - 1);
  while (cut > begin + 1 && negative(cut - 1) == last) --cut;
  while (cut < end - 1 && negative(cut) == first) ++cut;
  out[0] = {begin, cut, ky};
  out[1] = {cut, end, ky};
  return 2;
}

template <bool kCurved, int kGroup = kLanes, int kSize>
inline void locate(const Geometry& g, const Slice& s, const Stretch& t, int64_t pixel,
                   Places<kSize>& block) {
  const float ux = s.u[0], uy = s.u[1], uz = s.u[2];
  const float x0 = s.v[0] * t.ky, y0 = s.v[1] * t.ky, z0 = s.v[2] * t.ky;
  const float centre = static_cast<float>(g.centre);
  [[maybe_unused]] const float ky2 = static_cast<float>(t.ky) * t.ky;
  const int count = t.end - t.begin;
  const uint32_t plane = static_cast<uint32_t>(g.side) * g.width, width = g.width;
  for (int group = 0; group < count; group += kGroup) {
    const int at = block.used + group, start = t.begin + group;
    uint32_t* __restrict index = block.index + at;
    float* __restrict fx = block.fx + at;
    float* __restrict fy = block.fy + at;
    float* __restrict fz = block.fz + at;
    float* __restrict signs = block.sign + at;
    for (int i = 0; i < kGroup; ++i) {
      const float kx = static_cast<float>(start + i);
      float x_signed = kx * ux + x0, y_signed = kx * uy + y0, z_signed = kx * uz + z0;
      if constexpr (kCurved) {
        const float k2 = kx * kx + ky2;
        x_signed += k2 * s.w[0];
        y_signed += k2 * s.w[1];
        z_signed += k2 * s.w[2];
      }
      const float sign = x_signed < 0.f ? -1.f : 1.f;
      const float x = sign * x_signed, y = sign * y_signed + centre, z = sign * z_signed + centre;
      const int ix = static_cast<int>(x), iy = static_cast<int>(y), iz = static_cast<int>(z);
      fx[i] = x - static_cast<float>(ix);
      fy[i] = y - static_cast<float>(iy);
      fz[i] = z - static_cast<float>(iz);
      signs[i] = sign;
      index[i] = static_cast<uint32_t>(iz) * plane + static_cast<uint32_t>(iy) * width +
                 static_cast<uint32_t>(ix);
    }
  }
  block.parts[block.n_parts++] = {block.used, count, pixel};
  block.used += count;
}

// What is read ahead, or together with the last pixels, must be an address of the grid.
template <int kSize>
inline void close(Places<kSize>& block) {
  std::memset(block.index + block.used, 0, 2 * kLanes * sizeof(uint32_t));
}

// Locate the pixels of some rows of a slice and hand them over in blocks.
template <class Use>
inline void for_each_block(const Geometry& g, const Slice& s, int64_t image, bool once_at_kx0,
                           int first_row, int last_row, Block& block, const Use& use) {
  auto hand_over = [&] {
    close(block);
    use(block);
    block.used = block.n_parts = 0;
  };
  block.used = block.n_parts = 0;
  for (int y = first_row; y < last_row; ++y) {
    const int ky = y <= g.rows / 2 ? y : y - g.rows;
    Stretch t = {once_at_kx0 && ky < 0 ? 1 : 0, g.row_ends[y], ky};
    if (!s.inside) within_sphere(g, s, ky, t.begin, t.end);
    while (t.begin < t.end) {
      if (block.used == kBlock || block.n_parts == kBlock) hand_over();
      Stretch part = t;
      part.end = std::min(t.end, t.begin + kBlock - block.used);
      const int64_t pixel = image * g.image_stride + g.row_offsets[y] + part.begin;
      s.curved ? locate<true>(g, s, part, pixel, block) : locate<false>(g, s, part, pixel, block);
      t.begin = part.end;
    }
  }
  if (block.n_parts > 0) hand_over();
}

typedef float float4v __attribute__((vector_size(16), may_alias));

inline float4v load(const float* p) {
  float4v value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

template <int kWrite>
inline void prefetch(const float* p, int64_t y_step, int64_t z_step) {
  __builtin_prefetch(p, kWrite);
  __builtin_prefetch(p + y_step, kWrite);
  __builtin_prefetch(p + z_step, kWrite);
  __builtin_prefetch(p + z_step + y_step, kWrite);
}

#if defined(__AVX512F__)
inline __m512 load4(const float* const* p, int64_t offset) {
  __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(p[0] + offset));
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p[1] + offset), 1);
  v = _mm512_insertf32x4(v, _mm_loadu_ps(p[2] + offset), 2);
  return _mm512_insertf32x4(v, _mm_loadu_ps(p[3] + offset), 3);
}
#endif

inline void gather_part(const Geometry& g, const float* volume, const Block& block,
                        const Located& part, float* out) {
  const int64_t y_step = 2 * int64_t(g.width), z_step = y_step * g.side;
  const uint32_t* index = block.index + part.first;
  const float *fx = block.fx + part.first, *fy = block.fy + part.first,
              *fz = block.fz + part.first, *sign = block.sign + part.first;
  out += 2 * part.pixel;
  int i = 0;
#if defined(__AVX512F__)
  const __m512i each4 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m512i near2 = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m512i far2 = _mm512_setr_epi32(2, 3, 6, 7, 10, 11, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i each2 = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const __m256 ones = _mm256_set1_ps(1.f);
  for (; i < part.count; i += 4) {
    const float* p[4];
    for (int j = 0; j < 4; ++j) {
      p[j] = volume + 2 * int64_t(index[i + j]);
      prefetch<0>(volume + 2 * int64_t(index[i + j + kAhead]), y_step, z_step);
    }
    const __m512 a = load4(p, 0), b = load4(p, y_step), c = load4(p, z_step),
                 d = load4(p, z_step + y_step);
    const __m512 wy = _mm512_permutexvar_ps(each4, _mm512_castps128_ps512(_mm_loadu_ps(fy + i)));
    const __m512 wz = _mm512_permutexvar_ps(each4, _mm512_castps128_ps512(_mm_loadu_ps(fz + i)));
    const __m256 wx = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(fx + i)), each2);
    const __m512 low = _mm512_fmadd_ps(wy, _mm512_sub_ps(b, a), a);
    const __m512 high = _mm512_fmadd_ps(wy, _mm512_sub_ps(d, c), c);
    const __m512 pair = _mm512_fmadd_ps(wz, _mm512_sub_ps(high, low), low);
    const __m256 near = _mm512_castps512_ps256(_mm512_permutexvar_ps(near2, pair));
    const __m256 far = _mm512_castps512_ps256(_mm512_permutexvar_ps(far2, pair));
    const __m256 value = _mm256_fmadd_ps(wx, _mm256_sub_ps(far, near), near);
    const __m256 signs = _mm256_blend_ps(
        ones, _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sign + i)), each2), 0xaa);
    const int left = part.count - i;
    const __mmask8 mask = left >= 4 ? 0xff : static_cast<__mmask8>((1 << (2 * left)) - 1);
    _mm256_mask_storeu_ps(out + 2 * i, mask, _mm256_mul_ps(value, signs));
  }
#endif
  for (; i < part.count; ++i) {
    const float* at = volume + 2 * int64_t(index[i]);
    prefetch<0>(volume + 2 * int64_t(index[i + kAhead]), y_step, z_step);
    const float4v a = load(at), b = load(at + y_step);
    const float4v c = load(at + z_step), d = load(at + z_step + y_step);
    const float4v low = a + fy[i] * (b - a), high = c + fy[i] * (d - c);
    const float4v pair = low + fz[i] * (high - low);
    out[2 * i] = pair[0] + fx[i] * (pair[2] - pair[0]);
    out[2 * i + 1] = sign[i] * (pair[1] + fx[i] * (pair[3] - pair[1]));
  }
}

// Some rows of one slice.
void gather_rows(const Geometry& g, const float* volume, const float* planes, int64_t n,
                 int first_row, int last_row, float* out) {
  Block block;
  for_each_block(g, Slice(g, planes, n), n, g.once, first_row, last_row, block, [&](const Block& b) {
    for (int i = 0; i < b.n_parts; ++i) gather_part(g, volume, b, b.parts[i], out);
  });
}

}  // namespace

void gather_slices(const Geometry& g, const float* volume, const float* planes,
                   int64_t first_slice, int64_t last_slice, float* out) {
  for (int64_t n = first_slice; n < last_slice; ++n)
    gather_rows(g, volume, planes, n, 0, g.rows, out);
}

// Whether a rotation takes points of the grid to points of the grid: axes to axes, as the identity
// and all of D2 do.
inline bool keeps_points(const float* m) {
  for (int i = 0; i < 9; ++i)
    if (std::fabs(m[i] - std::round(m[i])) > 1e-6f) return false;
  return true;
}

// Sum the grid (four numbers a point) at R k over all operators R, for one plane of points k.
void symmetrise_plane(const float* grid, int centre, const float* operators, int64_t n_operators,
                      int z, float* out) {
  const int64_t width = centre + 1, side = 2 * int64_t(centre) + 1;
  const int64_t y_step = 4 * width, z_step = y_step * side;
  const int64_t radius2 = int64_t(centre - 1) * (centre - 1);
  for (int y = -centre; y <= centre; ++y) {
    const int64_t left = radius2 - int64_t(y) * y - int64_t(z) * z;
    if (left < 0) continue;
    const int end = static_cast<int>(std::sqrt(static_cast<double>(left)) + 1e-9) + 1;
    float* row = out + (z + centre) * z_step + (y + centre) * y_step;
    auto add = [&](int x, float sign, float4v value) {
      const float4v signs = {1.f, sign, 1.f, 1.f};
      const float4v sum = load(row + 4 * x) + signs * value;
      std::memcpy(row + 4 * x, &sum, sizeof sum);
    };
    for (int64_t n = 0; n < n_operators; ++n) {
      const float* m = operators + 9 * n;
      if (keeps_points(m)) {
        int64_t turned[9];
        for (int i = 0; i < 9; ++i) turned[i] = std::lround(m[i]);
        for (int64_t x = 0; x < end; ++x) {
          const int64_t px = turned[0] * x + turned[1] * y + turned[2] * z;
          const int64_t way = px < 0 ? -1 : 1;
          const int64_t qy = way * (turned[3] * x + turned[4] * y + turned[5] * z) + centre;
          const int64_t qz = way * (turned[6] * x + turned[7] * y + turned[8] * z) + centre;
          add(int(x), float(way), load(grid + qz * z_step + qy * y_step + 4 * way * px));
        }
        continue;
      }
      const float y0 = m[1] * y + m[2] * z, y1 = m[4] * y + m[5] * z, y2 = m[7] * y + m[8] * z;
      for (int x = 0; x < end; ++x) {
        const float px = x * m[0] + y0;
        const float sign = px < 0.f ? -1.f : 1.f;
        const float qx = sign * px, qy = sign * (x * m[3] + y1) + centre,
                    qz = sign * (x * m[6] + y2) + centre;
        const int ix = static_cast<int>(qx), iy = static_cast<int>(qy), iz = static_cast<int>(qz);
        const float fx = qx - ix, fy = qy - iy, fz = qz - iz;
        const float* at = grid + iz * z_step + iy * y_step + 4 * int64_t(ix);
        auto along_x = [&](const float* p) { return load(p) + fx * (load(p + 4) - load(p)); };
        const float4v a = along_x(at), b = along_x(at + y_step);
        const float4v c = along_x(at + z_step), d = along_x(at + z_step + y_step);
        const float4v low = a + fy * (b - a), high = c + fy * (d - c);
        add(x, sign, low + fz * (high - low));
      }
    }
  }
}

// For benchmarks: the grid index of every pixel, in the order in which slices read them.
int64_t list_pixels(const Geometry& g, const float* planes, int64_t n_slices, uint32_t* index) {
  Block block;
  int64_t count = 0;
  for (int64_t n = 0; n < n_slices; ++n)
    for_each_block(g, Slice(g, planes, n), n, false, 0, g.rows, block, [&](const Block& b) {
      std::copy(b.index, b.index + b.used, index + count);
      count += b.used;
    });
  return count;
}

// For benchmarks: fetch (two numbers a point) or fetch and store (four) what slices need, and
// compute nothing. No kernel that goes through pixels in this order can be faster.
float touch(const Geometry& g, const uint32_t* index, int64_t n, int numbers, float* grid) {
  const int64_t y_step = numbers * int64_t(g.width), z_step = y_step * g.side;
  float4v sum = {0.f, 0.f, 0.f, 0.f};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t later = index[std::min(i + kAhead, n - 1)];
    prefetch<0>(grid + numbers * later, y_step, z_step);
    float* at = grid + numbers * int64_t(index[i]);
    for (float* row : {at, at + y_step, at + z_step, at + z_step + y_step}) {
      float4v value = load(row);
      if (numbers == 4) {
        std::memcpy(row, &value, sizeof value);
        const float4v next = load(row + 4);
        std::memcpy(row + 4, &next, sizeof next);
        asm volatile("" : : "r"(row) : "memory");
      }
      sum += value;
    }
  }
  return sum[0] + sum[1] + sum[2] + sum[3];
}

}  // namespace vitreous::VITREOUS_ISA
