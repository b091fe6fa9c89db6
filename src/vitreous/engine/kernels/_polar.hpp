// Log weights of all in-plane angles of sixteen directions at a time (`refinement.polar`).
//
// For each shift of an image the products with the functions of a frequency and the coefficients of
// the directions give one complex term a frequency; frequencies that in-plane angles cannot tell
// apart are added up, and a short transform gives all angles. Log weights too small to matter are
// forgotten sixteen directions at a time, before they reach memory.

#include <cmath>

#include "_polar.h"
#include "_select.hpp"
#include "_vectors.hpp"

namespace vitreous::VITREOUS_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTogether = 6;  // shifts worked on at a time
#else
constexpr int kTogether = 2;
#endif

// Terms of every frequency for a few shifts, added up in `rows`: [shift][cosines, sines][16].
template <int kShifts>
inline void sum_terms(const Coefficients& slices, const float* values, int n_psi, const Turned& image,
                      int64_t first, float* rows) {
  const int64_t half = n_psi / 2, stride = (2 * half + 2) * kWide;
  std::memset(rows, 0, sizeof(float) * kShifts * stride);
  for (int h = 0; h < slices.n_orders; ++h) {
    const int count = slices.count[h];
    const int64_t step = slices.odd[h] ? image.n_odd : image.n_even;
    const float* x = (slices.odd[h] ? image.odd : image.even) + first * step + slices.column[h];
    f16 cosine[kShifts] = {}, sine[kShifts] = {};
    for (int j = 0; j < count; ++j, values += 2 * kWide) {
      const f16 re = at(values), im = at(values + kWide);
      for (int t = 0; t < kShifts; ++t) {
        const float x_re = x[t * step + j], x_im = x[t * step + count + j];
        cosine[t] += re * x_re;
        sine[t] += re * x_im;
        cosine[t] += im * x_im;
        sine[t] -= im * x_re;
      }
    }
    float* to = rows + int64_t(slices.row[h]) * kWide;
    const f16 sign = all(slices.sign[h]);
    for (int t = 0; t < kShifts; ++t, to += stride) {
      put(to, at(to) + cosine[t]);
      float* low = to + (half + 1) * kWide;
      put(low, at(low) + sign * sine[t]);
    }
  }
}

// Sums of a few shifts over frequencies, for every in-plane angle; `out` [shift][psi][16].
// Frequencies m and angles j come in four kinds of symmetry: of even and odd m, of cosine and sine.
template <int kShifts>
inline void turn_evenly(const Turning& turning, const float* rows, float* out) {
  const int n = turning.n_psi, half = n / 2, columns = half + 1;
  const int64_t stride = int64_t(2 * columns) * kWide, block = int64_t(n) * kWide;
  const float *c = rows, *s = rows + columns * kWide;
  for (int j = 0; j <= half / 2; j += 2) {
    const int angles[2] = {j, std::min(j + 1, half / 2)};
    const float *cj = turning.cosine + angles[0] * columns, *sj = turning.sine + angles[0] * columns;
    const float *ck = turning.cosine + angles[1] * columns, *sk = turning.sine + angles[1] * columns;
    f16 a[kShifts][2][2] = {}, b[kShifts][2][2] = {};
    for (int m = 0; m + 1 <= half; m += 2) {
      for (int t = 0; t < kShifts; ++t) {
        const f16 c0 = at(c + t * stride + m * kWide), c1 = at(c + t * stride + (m + 1) * kWide);
        const f16 s0 = at(s + t * stride + m * kWide), s1 = at(s + t * stride + (m + 1) * kWide);
        a[t][0][0] += c0 * cj[m], a[t][0][1] += c1 * cj[m + 1];
        b[t][0][0] += s0 * sj[m], b[t][0][1] += s1 * sj[m + 1];
        a[t][1][0] += c0 * ck[m], a[t][1][1] += c1 * ck[m + 1];
        b[t][1][0] += s0 * sk[m], b[t][1][1] += s1 * sk[m + 1];
      }
    }
    for (int t = 0; t < kShifts; ++t) {
      float* to = out + t * block;
      if (half % 2 == 0) {
        const f16 last = at(c + t * stride + half * kWide);
        a[t][0][0] += last * cj[half];
        a[t][1][0] += last * ck[half];
      }
      for (int i = 0; i < 2; ++i) {
        const int angle = angles[i];
        const f16 even = a[t][i][0] + a[t][i][1], odd = a[t][i][0] - a[t][i][1];
        const f16 plus = b[t][i][0] + b[t][i][1], minus = b[t][i][0] - b[t][i][1];
        put(to + angle * kWide, even + plus);
        put(to + (n - angle) % n * kWide, even - plus);
        put(to + (half - angle) * kWide, odd - minus);
        put(to + (half + angle) * kWide, odd + minus);
      }
    }
  }
}

// The same of one shift for an odd number of in-plane angles, which half a turn does not map to each other.
inline void turn_oddly(const Turning& turning, const float* rows, float* out) {
  const int n = turning.n_psi, half = n / 2, columns = half + 1;
  const float *c = rows, *s = rows + columns * kWide;
  for (int j = 0; j <= half; ++j) {
    const float *cj = turning.cosine + j * columns, *sj = turning.sine + j * columns;
    f16 a = {}, b = {};
    for (int m = 0; m <= half; ++m) {
      a += at(c + m * kWide) * cj[m];
      b += at(s + m * kWide) * sj[m];
    }
    put(out + j * kWide, a + b);
    put(out + (n - j) % n * kWide, a - b);
  }
}

inline float greatest(f16 v) {
  float most = v[0];
  for (int i = 1; i < kWide; ++i) most = std::max(most, v[i]);
  return most;
}

}  // namespace

void search_image(const Coefficients& slices, const Turning& turning, const Turned& image,
                  const Threshold& keep, PolarWork& work, Found& found) {
  const int n_psi = turning.n_psi, half = n_psi / 2;
  const int64_t n_shifts = image.n_shifts, n_tiles = slices.n_tiles, block = int64_t(n_psi) * kWide;
  const int64_t stride = (2 * half + 2) * kWide;
  work.rows.resize(kTogether * stride);
  work.out.resize(kTogether * block);
  work.kept.clear();
  work.tile.clear();
  float largest = -INFINITY;
  for (int64_t tile = 0; tile < n_tiles; ++tile) {
    const float* values = slices.values + 2 * kWide * slices.n_functions * tile;
    const int32_t* of_class = image.of_class + tile * kWide;
    for (int64_t first = 0; first < n_shifts; first += kTogether) {
      const int n = static_cast<int>(std::min<int64_t>(kTogether, n_shifts - first));
      float* rows = work.rows.data();
      switch (n) {
        case 1: sum_terms<1>(slices, values, n_psi, image, first, rows); break;
        case 2: sum_terms<2>(slices, values, n_psi, image, first, rows); break;
        case 3: sum_terms<3>(slices, values, n_psi, image, first, rows); break;
        case 4: sum_terms<4>(slices, values, n_psi, image, first, rows); break;
        case 5: sum_terms<5>(slices, values, n_psi, image, first, rows); break;
        default: sum_terms<6>(slices, values, n_psi, image, first, rows); break;
      }
      for (int t = 0; t < n;) {
        if (n_psi % 2 == 1) {
          turn_oddly(turning, rows + t * stride, work.out.data() + t * block);
          ++t;
        } else if (t + 1 < n) {
          turn_evenly<2>(turning, rows + t * stride, work.out.data() + t * block);
          t += 2;
        } else {
          turn_evenly<1>(turning, rows + t * stride, work.out.data() + t * block);
          ++t;
        }
      }
      for (int t = 0; t < n; ++t) {
        float* out = work.out.data() + t * block;
        f16 prior = {};
        for (int i = 0; i < kWide; ++i)
          prior[i] = image.shift_prior[of_class[i] * n_shifts + first + t];
        f16 peak = all(-INFINITY);
        for (int p = 0; p < n_psi; ++p) {
          const f16 score = at(out + p * kWide) + at(image.base + (p * n_tiles + tile) * kWide) + prior;
          put(out + p * kWide, score);
          peak = score > peak ? score : peak;
        }
        const float top = greatest(peak);
        if (!(top > largest - keep.lost)) continue;
        largest = std::max(largest, top);
        work.tile.push_back((first + t) * n_tiles + tile);
        work.kept.insert(work.kept.end(), out, out + block);
      }
    }
  }
  found.index.clear();
  found.weight.clear();
  found.largest = found.log_sum = largest;
  if (!std::isfinite(largest)) return;
  significant(work.kept.data(), static_cast<int64_t>(work.kept.size()), keep.fraction, keep.lost,
              keep.most, largest, work.chosen, found.log_sum);
  std::vector<std::pair<int64_t, float>> pairs;
  pairs.reserve(work.chosen.size());
  for (int32_t i : work.chosen) {
    const int64_t where = work.tile[i / block], inside = i % block;
    const int64_t direction = where % n_tiles * kWide + inside % kWide, psi = inside / kWide;
    pairs.emplace_back((direction * n_psi + psi) * n_shifts + where / n_tiles, work.kept[i]);
  }
  std::sort(pairs.begin(), pairs.end());
  for (const auto& [index, weight] : pairs) {
    found.index.push_back(index);
    found.weight.push_back(weight);
  }
}

}  // namespace vitreous::VITREOUS_ISA
