// Python binding of the polar kernel: it shares out images to threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <omp.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "_isa.h"
#include "_numpy.h"
#include "_polar.h"

namespace nb = nanobind;
using namespace vitreous;

namespace {

decltype(&generic::search_image) kernel() {
#if defined(__x86_64__)
  if (best_isa() == Isa::v4) return v4::search_image;
  if (best_isa() == Isa::v3) return v3::search_image;
#endif
  return generic::search_image;
}

nb::tuple search(Array<const int32_t, 2> orders, Array<const float, 1> sign,
                 Array<const float, 4> values, Array<const float, 2> cosine,
                 Array<const float, 2> sine, int n_psi, Array<const float, 3> even,
                 Array<const float, 3> odd, Array<const float, 4> base,
                 Array<const float, 3> shift_prior, Array<const int32_t, 1> of_class,
                 double fraction, float lost, int64_t most, int threads) {
  const int64_t n = even.shape(0), n_shifts = even.shape(1), n_tiles = values.shape(0);
  const int64_t n_orders = orders.shape(1);
  if (int64_t(odd.shape(0)) != n || int64_t(base.shape(0)) != n || int64_t(shift_prior.shape(0)) != n)
    throw std::invalid_argument("images: not equally many of each");
  if (int64_t(base.shape(2)) != n_tiles || int64_t(of_class.shape(0)) != 16 * n_tiles)
    throw std::invalid_argument("base: wrong number of directions");
  if (int64_t(base.shape(1)) != n_psi || int64_t(cosine.shape(1)) != n_psi / 2 + 1)
    throw std::invalid_argument("base: wrong number of in-plane angles");
  if (n_shifts * n_tiles * 16 * n_psi >= 2147483647)
    throw std::invalid_argument("scores: too many hypotheses");
  const int32_t* numbers = orders.data();
  const Coefficients slices{int(n_orders), numbers, sign.data(), numbers + n_orders,
                            numbers + 2 * n_orders, numbers + 3 * n_orders,
                            int64_t(values.shape(1)), n_tiles, values.data()};
  const Turning turning{n_psi, cosine.data(), sine.data()};
  const int64_t n_classes = shift_prior.shape(1);
  const auto run = kernel();
  std::vector<Found> found(n);
  {
    nb::gil_scoped_release release;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      PolarWork work;
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < n; ++i) {
        const Turned image{n_shifts,
                           even.data() + i * n_shifts * int64_t(even.shape(2)),
                           odd.data() + i * n_shifts * int64_t(odd.shape(2)),
                           int64_t(even.shape(2)),
                           int64_t(odd.shape(2)),
                           base.data() + i * n_psi * n_tiles * 16,
                           shift_prior.data() + i * n_classes * n_shifts,
                           of_class.data()};
        run(slices, turning, image, {fraction, lost, most}, work, found[i]);
      }
    }
  }
  size_t total = 0;
  for (const Found& one : found) total += one.index.size();
  std::vector<int64_t> counts, index;
  std::vector<float> weight, told;
  index.reserve(total), weight.reserve(total);
  for (const Found& one : found) {
    counts.push_back(int64_t(one.index.size()));
    told.push_back(one.largest), told.push_back(one.log_sum);
    index.insert(index.end(), one.index.begin(), one.index.end());
    weight.insert(weight.end(), one.weight.begin(), one.weight.end());
  }
  const size_t images = size_t(n);
  return nb::make_tuple(to_numpy(std::move(counts), {images}), to_numpy(std::move(index), {total}),
                        to_numpy(std::move(weight), {total}), to_numpy(std::move(told), {images, 2}));
}

}  // namespace

NB_MODULE(_polar, m) {
  m.def("search", &search, nb::arg("orders"), nb::arg("sign"), nb::arg("values"), nb::arg("cosine"),
        nb::arg("sine"), nb::arg("n_psi"), nb::arg("even"), nb::arg("odd"), nb::arg("base"),
        nb::arg("shift_prior"), nb::arg("of_class"), nb::arg("fraction"), nb::arg("lost"),
        nb::arg("most"),
        nb::arg("threads"));
}
