// Gather slices from a volume that keeps with every point its three neighbours in y and z, in half
// precision.
//
// A pixel then reads one stretch of 32 bytes, and not four of 16 from four rows of the grid: a third
// of the cache lines, and half of the instructions. Numbers are rounded to 11 bits; see
// references.py for when that is good enough.
//
//   point (z, y, x): the complex numbers of (z, y), (z, y + 1), (z + 1, y), (z + 1, y + 1), times a
//   power of two that brings the largest below the largest half.
//
// Compiled once per instruction set, after _slices.hpp; the generic one has no half precision.

#include <vector>

namespace vitreous::VITREOUS_ISA {

#if defined(__F16C__)
namespace {

constexpr int kCorners = 8;  // halves of a point

inline void gather_part_packed(const Block& block, const Located& part, const uint16_t* corners,
                               float unit, float* out) {
  const uint32_t* index = block.index + part.first;
  const float *fx = block.fx + part.first, *fy = block.fy + part.first,
              *fz = block.fz + part.first, *sign = block.sign + part.first;
  out += 2 * part.pixel;
  int i = 0;
  auto fetch = [&](int j) {
    const uint16_t* later = corners + kCorners * int64_t(index[j]);
    __builtin_prefetch(later);
    __builtin_prefetch(later + 2 * kCorners - 1);
  };
#if defined(__AVX512F__)
  const __m512i each4 = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  const __m512i first8 = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  const __m512i last8 = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m512i near2 = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m512i far2 = _mm512_setr_epi32(2, 3, 6, 7, 10, 11, 14, 15, 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i each2 = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
  const __m256 units = _mm256_set1_ps(unit);
  for (; i < part.count; i += 4) {
    __m512 p[4];
    for (int j = 0; j < 4; ++j) {
      const uint16_t* at = corners + kCorners * int64_t(index[i + j]);
      p[j] = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
      fetch(i + j + kAhead);
    }
    auto floats = [i](const float* f) { return _mm512_castps128_ps512(_mm_loadu_ps(f + i)); };
    const __m512 wx = floats(fx);
    const __m512 near01 = _mm512_shuffle_f32x4(p[0], p[1], 0x44),
                 far01 = _mm512_shuffle_f32x4(p[0], p[1], 0xee),
                 near23 = _mm512_shuffle_f32x4(p[2], p[3], 0x44),
                 far23 = _mm512_shuffle_f32x4(p[2], p[3], 0xee);
    const __m512 p01 = _mm512_fmadd_ps(_mm512_permutexvar_ps(first8, wx),
                                       _mm512_sub_ps(far01, near01), near01);
    const __m512 p23 = _mm512_fmadd_ps(_mm512_permutexvar_ps(last8, wx),
                                       _mm512_sub_ps(far23, near23), near23);
    const __m512 low = _mm512_shuffle_f32x4(p01, p23, 0x88),
                 high = _mm512_shuffle_f32x4(p01, p23, 0xdd);
    const __m512 pair = _mm512_fmadd_ps(_mm512_permutexvar_ps(each4, floats(fz)),
                                        _mm512_sub_ps(high, low), low);
    const __m256 near = _mm512_castps512_ps256(_mm512_permutexvar_ps(near2, pair));
    const __m256 far = _mm512_castps512_ps256(_mm512_permutexvar_ps(far2, pair));
    auto twice = [&](const float* f) {
      return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(f + i)), each2);
    };
    const __m256 value = _mm256_fmadd_ps(twice(fy), _mm256_sub_ps(far, near), near);
    const __m256 signs = _mm256_blend_ps(units, _mm256_mul_ps(units, twice(sign)), 0xaa);
    const int left = part.count - i;
    const __mmask8 mask = left >= 4 ? 0xff : static_cast<__mmask8>((1 << (2 * left)) - 1);
    _mm256_mask_storeu_ps(out + 2 * i, mask, _mm256_mul_ps(value, signs));
  }
#else
  for (; i < part.count; ++i) {
    const uint16_t* at = corners + kCorners * int64_t(index[i]);
    fetch(i + kAhead);
    const __m256 near = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    const __m256 far =
        _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at + kCorners)));
    const __m256 all = _mm256_fmadd_ps(_mm256_set1_ps(fx[i]), _mm256_sub_ps(far, near), near);
    const __m128 low = _mm256_castps256_ps128(all), high = _mm256_extractf128_ps(all, 1);
    const __m128 pair = _mm_fmadd_ps(_mm_set1_ps(fz[i]), _mm_sub_ps(high, low), low);
    const float4v both = float4v(pair);
    out[2 * i] = unit * (both[0] + fy[i] * (both[2] - both[0]));
    out[2 * i + 1] = unit * sign[i] * (both[1] + fy[i] * (both[3] - both[1]));
  }
#endif
}

// As `gather_rows`; `unit` undoes the power of two.
void gather_rows_packed(const Geometry& g, const uint16_t* corners, float unit, const float* planes,
                        int64_t n, int first_row, int last_row, float* out) {
  Block block;
  for_each_block(g, Slice(g, planes, n), n, g.once, first_row, last_row, block, [&](const Block& b) {
    for (int i = 0; i < b.n_parts; ++i) gather_part_packed(b, b.parts[i], corners, unit, out);
  });
}

}  // namespace

// One plane of a volume `z y x` with its neighbours, times a power of two.
void pack_corners(const float* volume, int64_t side, int64_t width, int64_t z, float times,
                  uint16_t* corners) {
  const std::vector<float> nothing(2 * width, 0.f);
  const float* rows[4];
  for (int64_t y = 0; y < side; ++y) {
    for (int j = 0; j < 4; ++j) {
      const int64_t to_z = z + j / 2, to_y = y + j % 2;
      rows[j] = to_z < side && to_y < side ? volume + 2 * width * (to_z * side + to_y) : nothing.data();
    }
    uint16_t* to = corners + kCorners * width * (z * side + y);
    for (int64_t x = 0; x < width; ++x) {
      auto two = [&](int j) {
        return _mm_castpd_ps(_mm_load_sd(reinterpret_cast<const double*>(rows[j] + 2 * x)));
      };
      const __m128 low = _mm_movelh_ps(two(0), two(1)), high = _mm_movelh_ps(two(2), two(3));
      const __m256 all = _mm256_mul_ps(_mm256_set_m128(high, low), _mm256_set1_ps(times));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + kCorners * x),
                       _mm256_cvtps_ph(all, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
  }
}
#endif

}  // namespace vitreous::VITREOUS_ISA
