// The choice of significant hypotheses among log weights; included once per instruction set.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace vitreous::VITREOUS_ISA {
namespace {

constexpr int kBins = 512;  // of the histogram of log weights

// Choose the fewest of `n` hypotheses that hold a fraction of the weight; `most` (or 0): at most so
// many. Those more than `lost` below the `largest` are not looked at. `scores` become weights
// relative to the whole where they were chosen.
inline void significant(float* scores, int64_t n, double fraction, float lost, int64_t most,
                        float largest, std::vector<int32_t>& chosen, float& log_sum) {
  chosen.clear();
  const float lowest = largest - lost;
  double bins[kBins] = {};
  const float per_bin = kBins / lost;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!(scores[i] > lowest)) continue;
    const float below = largest - scores[i];
    const double w = std::exp(-below);
    const int bin = std::min(static_cast<int>(below * per_bin), kBins - 1);
    bins[bin] += w;
    sum += w;
  }
  log_sum = largest + static_cast<float>(std::log(sum));
  double held = 0;
  const double wanted = fraction * sum;
  int last = 0;
  while (last < kBins - 1 && held + bins[last] <= wanted) held += bins[last++];
  // Everything above bin `last` is chosen, and of that bin the best until the fraction is reached.
  std::vector<float> border;
  for (int64_t i = 0; i < n; ++i) {
    if (!(scores[i] > lowest)) continue;
    if (std::min(static_cast<int>((largest - scores[i]) * per_bin), kBins - 1) == last)
      border.push_back(scores[i]);
  }
  std::sort(border.begin(), border.end(), std::greater<float>());
  float least = border.empty() ? lowest : border.back();
  for (float score : border) {
    held += std::exp(score - largest);
    least = score;
    if (held > wanted) break;
  }
  for (int64_t i = 0; i < n; ++i)
    if (scores[i] >= least) chosen.push_back(static_cast<int32_t>(i));
  if (most > 0 && static_cast<int64_t>(chosen.size()) > most) {
    std::vector<int32_t> ranked = chosen;
    std::nth_element(ranked.begin(), ranked.begin() + (most - 1), ranked.end(),
                     [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
    const float cut = scores[ranked[most - 1]];
    chosen.erase(std::remove_if(chosen.begin(), chosen.end(),
                                [&](int32_t i) { return scores[i] < cut; }),
                 chosen.end());
  }
  for (int32_t i : chosen) scores[i] = static_cast<float>(std::exp(scores[i] - largest) / sum);
}

}  // namespace
}  // namespace vitreous::VITREOUS_ISA
