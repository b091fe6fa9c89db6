// Python bindings of the refinement kernels: they share out images and rotations to threads.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>
#include <omp.h>

#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "_numpy.h"
#include "_share.h"

namespace nb = nanobind;
using namespace vitreous;

namespace {

template <class T, int N>
using Maybe = std::optional<Array<const T, N>>;
constexpr int kPad = 16;
constexpr int64_t kNeighbours = 16;  // rotations that are gone through strip by strip

// The circle of a half plane with what the kernels want to know of its rows.
struct Layout {
  Plan plan;
  std::vector<int> reach;
  Disc disc;

  // Without a grid (`side` 0) nothing is sliced and only the rows matter.
  Layout(int radius, int64_t side, int64_t width, float grid_radius2)
      : plan(side > 0 ? side : 7, side > 0 ? width : 4, 2 * radius, radius + 1, 2, radius,
             grid_radius2) {
    plan.pack(kPad, false);
    const int n_rows = 2 * radius;
    int longest = 0;
    for (int y = 0; y < n_rows; ++y) longest = std::max(longest, plan.row_ends[y]);
    const int padded = (longest + kPad - 1) / kPad * kPad;
    for (int b = 0; b < padded / kPad; ++b) {
      int far = 0;
      for (int y = 0; y <= radius && y < n_rows; ++y)
        if (plan.row_ends[y] > b * kPad) far = y;
      reach.push_back(far);
    }
    disc = {n_rows, padded, plan.g.image_stride, plan.row_offsets.data(), reach.data()};
  }
  Layout(const Layout&) = delete;
};

nb::tuple describe(int radius) {
  const Layout layout(radius, 0, 0, 1e30f);
  const int n = layout.disc.n_rows;
  std::vector<int64_t> offsets(layout.disc.offsets, layout.disc.offsets + n);
  std::vector<int32_t> ends(layout.plan.row_ends.begin(), layout.plan.row_ends.end());
  return nb::make_tuple(layout.disc.length, layout.disc.width, to_numpy(std::move(offsets), {size_t(n)}),
                        to_numpy(std::move(ends), {size_t(n)}));
}

using Corners = std::vector<std::pair<Array<const int16_t, 1>, float>>;  // and what undoes their power

// What slices are taken from; holds the lists that `Slices` points to.
struct Given {
  std::vector<const uint16_t*> corners;
  std::vector<float> units;
  Slices slices;

  Given(const Layout& layout, const Maybe<float, 3>& table, const std::vector<const float*>& volumes,
        const Corners& packed, const Array<const float, 3>& planes,
        const Array<const int32_t, 1>& classes) {
    const Geometry& g = layout.plan.g;
    if (!packed.empty() && (kernels().pack_corners == nullptr || packed.size() != volumes.size()))
      throw std::invalid_argument("corners: not of these volumes, or not on this machine");
    for (const auto& [array, unit] : packed) {
      if (int64_t(array.shape(0)) < 8 * (int64_t(g.side) * g.side * g.width + 1))
        throw std::invalid_argument("corners: too few");
      corners.push_back(reinterpret_cast<const uint16_t*>(array.data()));
      units.push_back(unit);
    }
    slices = {g, table ? table->data() : nullptr, volumes.data(),
              corners.empty() ? nullptr : corners.data(), units.data(), planes.data(), classes.data()};
  }
  Given(const Given&) = delete;
};

struct Volumes {
  std::vector<const float*> data;
  int64_t side = 0, width = 0;
  explicit Volumes(const std::vector<Array<const float, 4>>& arrays) {
    for (const auto& array : arrays) {
      data.push_back(array.data());
      side = array.shape(1), width = array.shape(2);
    }
  }
};

void gather_packed(Array<const float, 4> volume, Array<const float, 3> planes, Array<float, 3> out,
                   int radius, float grid_radius2, bool tight, int threads) {
  Plan plan(volume.shape(1), volume.shape(2), 2 * radius, radius + 1, planes.shape(2), radius,
            grid_radius2);
  plan.pack(tight ? 1 : kPad, tight);
  if (int64_t(out.shape(1)) != plan.g.image_stride || out.shape(2) != 2)
    throw std::invalid_argument("out: wrong number of pixels");
  const Geometry& g = plan.g;
  const int64_t n = planes.shape(0);
  const float *source = volume.data(), *p = planes.data();
  float* target = out.data();
  nb::gil_scoped_release release;
  gather_all(g, source, p, n, target, threads);
}

// Samples along lines through the origin: sample s of line n at s times its direction.
void gather_lines(Array<const float, 4> volume, Array<const float, 3> planes, Array<float, 3> out,
                  float grid_radius2, int threads) {
  const int samples = int(out.shape(1));
  Plan plan(volume.shape(1), volume.shape(2), 2 * samples, samples + 1, planes.shape(2), samples - 1,
            grid_radius2);
  plan.g.rows = 1;
  plan.row_ends[0] = samples;
  plan.row_offsets[0] = 0;
  plan.g.image_stride = samples;
  const Geometry& g = plan.g;
  const int64_t n = planes.shape(0);
  const float *source = volume.data(), *p = planes.data();
  float* target = out.data();
  nb::gil_scoped_release release;
  gather_each(g, source, p, n, target, threads);
}

void insert_packed(Array<float, 4> grid, Array<const float, 3> planes, Array<const float, 3> values,
                   Array<const float, 2> weights, int radius, float grid_radius2, int threads) {
  Plan plan(grid.shape(1), grid.shape(2), 2 * radius, radius + 1, planes.shape(2), radius,
            grid_radius2);
  plan.pack(kPad, false);
  if (int64_t(weights.shape(1)) != plan.g.image_stride)
    throw std::invalid_argument("weights: wrong number of pixels");
  const Geometry& g = plan.g;
  const int64_t n = planes.shape(0);
  float* target = grid.data();
  const float *p = planes.data(), *v = values.data(), *w = weights.data();
  nb::gil_scoped_release release;
  insert_all(g, target, p, n, false, v, w, threads);
}

// Pack a volume with its neighbours in half precision; see _corners.hpp.
void pack_corners(Array<const float, 4> volume, Array<int16_t, 1> out, float times, int threads) {
  const int64_t side = volume.shape(0), width = volume.shape(2);
  if (kernels().pack_corners == nullptr) throw std::invalid_argument("no half precision here");
  if (int64_t(volume.shape(1)) != side || int64_t(out.shape(0)) < 8 * (side * side * width + 1))
    throw std::invalid_argument("corners: wrong size");
  const float* source = volume.data();
  auto* target = reinterpret_cast<uint16_t*>(out.data());
  nb::gil_scoped_release release;
  std::fill_n(target + 8 * side * side * width, 8, uint16_t(0));
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
  for (int64_t z = 0; z < side; ++z) kernels().pack_corners(source, side, width, z, times, target);
}

Phases phases_of(const Array<const float, 3>& x, const Array<const float, 3>& y) {
  const int64_t nx = x.shape(1) * x.shape(2), ny = y.shape(1) * y.shape(2);
  return {x.data(), x.data() + nx, y.data(), y.data() + ny};
}

nb::tuple hand_over(const std::vector<std::vector<Kept>>& kept, const std::vector<Outcome>& outcomes) {
  const size_t n = kept.size();
  std::vector<int64_t> counts(n), tried(n);
  std::vector<float> numbers(2 * n);
  size_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    counts[i] = int64_t(kept[i].size());
    tried[i] = outcomes[i].n_tried;
    numbers[2 * i] = outcomes[i].largest;
    numbers[2 * i + 1] = outcomes[i].log_sum;
    total += kept[i].size();
  }
  std::vector<int32_t> rotation(total);
  std::vector<int16_t> shift(2 * total);
  std::vector<float> weight(total);
  size_t at = 0;
  for (const auto& list : kept)
    for (const Kept& k : list) {
      rotation[at] = k.rotation;
      shift[2 * at] = k.tx;
      shift[2 * at + 1] = k.ty;
      weight[at++] = k.weight;
    }
  return nb::make_tuple(to_numpy(std::move(counts), {n}), to_numpy(std::move(rotation), {total}),
                        to_numpy(std::move(shift), {total, 2}), to_numpy(std::move(weight), {total}),
                        to_numpy(std::move(numbers), {n, 2}), to_numpy(std::move(tried), {n}));
}

nb::tuple score(int radius, float grid_radius2, std::vector<Array<const float, 4>> volumes,
                Corners corners, Maybe<float, 3> table, Array<const float, 3> planes, Array<const int32_t, 1> classes,
                Array<const float, 3> x_phases, Array<const float, 3> y_phases,
                Array<const float, 2> b_re, Array<const float, 2> b_im, Array<const float, 2> c,
                Array<const int64_t, 1> group_begin, Array<const int32_t, 1> group_rotation,
                Array<const float, 1> group_prior, Array<const int64_t, 1> shift_begin,
                Array<const int64_t, 1> shift_end,
                Array<const int16_t, 2> shifts, Array<const float, 1> shift_prior,
                int rotation_children, int shift_children, float fraction, int64_t most,
                bool correlation, int threads) {
  const Volumes from(volumes);
  const Layout layout(radius, from.side, from.width, grid_radius2);
  const Given given(layout, table, from.data, corners, planes, classes);
  const Slices& slices = given.slices;
  const Phases phases = phases_of(x_phases, y_phases);
  const int64_t n = b_re.shape(0), length = layout.disc.length;
  if (int64_t(b_re.shape(1)) != length) throw std::invalid_argument("images: wrong number of pixels");
  if (x_phases.shape(1) > 1024) throw std::invalid_argument("shifts: more than 1,024 along an axis");
  // The kernel reads x and y of a shift apart.
  const int64_t n_shifts = shifts.shape(0);
  std::vector<int16_t> tx(n_shifts), ty(n_shifts);
  for (int64_t i = 0; i < n_shifts; ++i) tx[i] = shifts.data()[2 * i], ty[i] = shifts.data()[2 * i + 1];
  std::vector<std::vector<Kept>> kept(n);
  std::vector<Outcome> outcomes(n);
  const Selection how{fraction, most, correlation};
  {
    nb::gil_scoped_release release;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
      Work work;
#pragma omp for schedule(dynamic)
      for (int64_t i = 0; i < n; ++i) {
        const int64_t first = group_begin.data()[i], last = group_begin.data()[i + 1];
        const Hypotheses h{last - first,
                           group_rotation.data() + first,
                           group_prior.data() + first,
                           shift_begin.data() + first,
                           shift_end.data() + first,
                           tx.data(),
                           ty.data(),
                           shift_prior.data(),
                           rotation_children,
                           shift_children};
        const Scored image{b_re.data() + i * length, b_im.data() + i * length, c.data() + i * length};
        kernels().score_image(layout.disc, phases, slices, image, h, how, work, kept[i], outcomes[i]);
      }
    }
  }
  return hand_over(kept, outcomes);
}

// Significant hypotheses of a block of images from the matrix product of all of them: lists of
// rotation * n_shifts + shift in rising order.
nb::tuple choose(Array<float, 3> scores, Array<const float, 2> power,
                 Array<const float, 1> rotation_prior, Array<const float, 3> shift_prior,
                 Maybe<float, 1> correlation, float fraction, int64_t most, int threads) {
  const int64_t n = scores.shape(0), n_shifts = scores.shape(1), n_rotations = scores.shape(2);
  const int64_t n_classes = shift_prior.shape(1), per_image = n_shifts * n_rotations;
  if (per_image >= 2147483647) throw std::invalid_argument("scores: too many hypotheses");
  std::vector<std::vector<int32_t>> chosen(n);
  std::vector<float> numbers(2 * n);
  const Selection how{fraction, most, correlation.has_value()};
  {
    nb::gil_scoped_release release;
#pragma omp parallel for num_threads(threads) schedule(dynamic) if (threads > 1)
    for (int64_t i = 0; i < n; ++i) {
      float* s = scores.data() + i * per_image;
      kernels().add_priors(s, n_shifts, n_classes, n_rotations / n_classes,
                           power.data() + i * n_rotations, rotation_prior.data(),
                           shift_prior.data() + i * n_classes * n_shifts,
                           correlation ? correlation->data()[i] : 0.f);
      kernels().select(s, per_image, how, chosen[i], numbers[2 * i], numbers[2 * i + 1]);
      for (int32_t& k : chosen[i])
        k = static_cast<int32_t>(k % n_rotations * n_shifts + k / n_rotations);
      std::sort(chosen[i].begin(), chosen[i].end());
    }
  }
  std::vector<int64_t> counts(n);
  size_t total = 0;
  for (int64_t i = 0; i < n; ++i) total += chosen[i].size(), counts[i] = int64_t(chosen[i].size());
  std::vector<int32_t> index(total);
  std::vector<float> weight(total);
  size_t at = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int32_t k : chosen[i]) {
      index[at] = k;
      weight[at++] = scores.data()[i * per_image + k % n_shifts * n_rotations + k / n_shifts];
    }
  return nb::make_tuple(to_numpy(std::move(counts), {size_t(n)}), to_numpy(std::move(index), {total}),
                        to_numpy(std::move(weight), {total}), to_numpy(std::move(numbers), {size_t(n), 2}));
}

// Order what images keep by rotation: the rotations that are kept, where the list of each begins,
// and the sorted lists. Images stay in order.
nb::tuple by_rotation(int64_t n_rotations, Array<const int64_t, 1> counts,
                      Array<const int32_t, 1> rotation, Array<const int16_t, 2> shifts,
                      Array<const float, 1> weight) {
  const int64_t total = rotation.shape(0);
  std::vector<int64_t> place(n_rotations + 1, 0);
  for (int64_t i = 0; i < total; ++i) ++place[rotation.data()[i] + 1];
  std::vector<int32_t> present;
  std::vector<int64_t> begin;
  for (int64_t r = 0; r < n_rotations; ++r) {
    if (place[r + 1] > 0) present.push_back(int32_t(r)), begin.push_back(place[r]);
    place[r + 1] += place[r];
  }
  begin.push_back(total);
  std::vector<int32_t> image(total);
  std::vector<int16_t> tx(total), ty(total);
  std::vector<float> sorted(total);
  int64_t at = 0;
  for (size_t i = 0; i < counts.shape(0); ++i)
    for (int64_t k = 0; k < counts.data()[i]; ++k, ++at) {
      const int64_t to = place[rotation.data()[at]]++;
      image[to] = int32_t(i);
      tx[to] = shifts.data()[2 * at];
      ty[to] = shifts.data()[2 * at + 1];
      sorted[to] = weight.data()[at];
    }
  const size_t n = present.size(), m = size_t(total);
  return nb::make_tuple(to_numpy(std::move(present), {n}), to_numpy(std::move(begin), {n + 1}),
                        to_numpy(std::move(image), {m}), to_numpy(std::move(tx), {m}),
                        to_numpy(std::move(ty), {m}), to_numpy(std::move(sorted), {m}));
}

// Sums of weights over what images keep: by class and direction (`cells`), by image, of shifts, and of
// squared distances of shifts from the centres of their prior; and the heaviest entry of each image.
nb::tuple tally(Array<const int64_t, 1> counts, Array<const int32_t, 1> rotation,
                Array<const int16_t, 2> shifts, Array<const float, 1> weight,
                Array<const int64_t, 1> cell_of_rotation, int64_t per_class,
                Array<const double, 1> axis, Array<const double, 2> moved,
                Array<const double, 3> centre, Array<double, 1> cells, Array<double, 2> class_shift) {
  const size_t n = counts.shape(0), n_classes = class_shift.shape(0);
  std::vector<double> total(n, 0.0);
  std::vector<int64_t> best(n, -1);
  double distance2 = 0;
  int64_t at = 0;
  for (size_t i = 0; i < n; ++i) {
    const double mx = moved.data()[2 * i], my = moved.data()[2 * i + 1];
    float heaviest = -1.f;
    for (int64_t k = 0; k < counts.data()[i]; ++k, ++at) {
      const double w = weight.data()[at];
      const int64_t cell = cell_of_rotation.data()[rotation.data()[at]];
      const int64_t c = cell / per_class;
      const double x = mx + axis.data()[shifts.data()[2 * at]];
      const double y = my + axis.data()[shifts.data()[2 * at + 1]];
      const double* p = centre.data() + 2 * (i * n_classes + c);
      cells.data()[cell] += w;
      class_shift.data()[2 * c] += w * x;
      class_shift.data()[2 * c + 1] += w * y;
      distance2 += w * ((x - p[0]) * (x - p[0]) + (y - p[1]) * (y - p[1]));
      total[i] += w;
      if (weight.data()[at] > heaviest) heaviest = weight.data()[at], best[i] = at;
    }
  }
  return nb::make_tuple(to_numpy(std::move(total), {n}), to_numpy(std::move(best), {n}), distance2);
}

// Sums of the images over rotations [first, last) of a sorted list, and statistics.
void sums(int radius, float grid_radius2, std::vector<Array<const float, 4>> volumes,
          Corners corners, Maybe<float, 3> table, Array<const float, 3> planes, Array<const int32_t, 1> classes,
          Array<const float, 3> x_phases, Array<const float, 3> y_phases, Maybe<float, 2> b_re,
          Maybe<float, 2> b_im, Maybe<float, 2> c, Array<const float, 2> u_re,
          Array<const float, 2> u_im, Array<const float, 2> m, Array<const float, 2> sigma2,
          Array<const float, 2> mask, Array<const int32_t, 1> groups, bool residual,
          Array<const int32_t, 1> rotation, Array<const int64_t, 1> begin,
          Array<const int32_t, 1> image, Array<const int16_t, 1> tx, Array<const int16_t, 1> ty,
          Array<const float, 1> weight, Array<float, 3> values, Array<float, 2> weights,
          Array<double, 2> per_image, Array<double, 2> per_pixel, int threads) {
  const Volumes from(volumes);
  const Layout layout(radius, from.side, from.width, grid_radius2);
  const Given given(layout, table, from.data, corners, planes, classes);
  const Slices& slices = given.slices;
  const Phases phases = phases_of(x_phases, y_phases);
  const Summed summed{b_re ? b_re->data() : nullptr,
                      b_im ? b_im->data() : nullptr,
                      c ? c->data() : nullptr,
                      u_re.data(),
                      u_im.data(),
                      m.data(),
                      sigma2.data(),
                      mask.data(),
                      groups.data(),
                      residual};
  const int64_t n = rotation.shape(0), length = layout.disc.length;
  const int64_t n_images = per_image.shape(0), n_pixels = per_pixel.shape(0) * per_pixel.shape(1);
  if (int64_t(weights.shape(1)) != length) throw std::invalid_argument("weights: wrong number of pixels");
  nb::gil_scoped_release release;
  // Each thread has its own share of the rotations and its own counts, added in order: the sums
  // depend on the number of threads, not on which thread was quicker.
  std::vector<std::vector<double>> images(threads);
  std::vector<std::vector<float>> pixels(threads);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    const int me = omp_get_thread_num();
    images[me].assign(3 * n_images, 0.0);
    pixels[me].assign(n_pixels, 0.f);
    Work work;
    kernels().strips_of(layout.disc, slices, work.strips);
    const std::vector<Strip> strips = work.strips;
#pragma omp for schedule(static, 1)
    for (int64_t some = 0; some < n; some += kNeighbours)
      for (const Strip& strip : strips)
        for (int64_t r = some; r < std::min(some + kNeighbours, n); ++r) {
          const int64_t first = begin.data()[r];
          kernels().sum_strip(layout.disc, strip, phases, slices, summed, rotation.data()[r],
                              begin.data()[r + 1] - first, image.data() + first, tx.data() + first,
                              ty.data() + first, weight.data() + first, work,
                              values.data() + 2 * length * r, weights.data() + length * r,
                              images[me].data(), pixels[me].data());
        }
  }
  for (int t = 0; t < threads; ++t) {
    for (size_t i = 0; i < images[t].size(); ++i) per_image.data()[i] += images[t][i];
    for (size_t i = 0; i < pixels[t].size(); ++i) per_pixel.data()[i] += pixels[t][i];
  }
}

}  // namespace

void bind_refinement(nb::module_& m) {
  m.def("disc", &describe, nb::arg("radius"),
        "Length and longest row of a packed circle, offset of each row, end of each row.");
  m.def("gather_packed", &gather_packed, nb::arg("volume"), nb::arg("planes"), nb::arg("out"),
        nb::arg("radius"), nb::arg("grid_radius2"), nb::arg("tight"), nb::arg("threads"));
  m.def("insert_packed", &insert_packed, nb::arg("grid"), nb::arg("planes"), nb::arg("values"),
        nb::arg("weights"), nb::arg("radius"), nb::arg("grid_radius2"), nb::arg("threads"));
  m.def("score", &score, nb::arg("radius"), nb::arg("grid_radius2"), nb::arg("volumes"),
        nb::arg("corners"), nb::arg("table").none(), nb::arg("planes"), nb::arg("classes"), nb::arg("x_phases"),
        nb::arg("y_phases"), nb::arg("b_re"), nb::arg("b_im"), nb::arg("c"), nb::arg("group_begin"),
        nb::arg("group_rotation"), nb::arg("group_prior"), nb::arg("shift_begin"),
        nb::arg("shift_end"), nb::arg("shifts"),
        nb::arg("shift_prior"), nb::arg("rotation_children"), nb::arg("shift_children"),
        nb::arg("fraction"), nb::arg("most"), nb::arg("correlation"), nb::arg("threads"));
  m.def("choose", &choose, nb::arg("scores"), nb::arg("power"), nb::arg("rotation_prior"),
        nb::arg("shift_prior"), nb::arg("correlation").none(), nb::arg("fraction"), nb::arg("most"),
        nb::arg("threads"));
  m.def("tally", &tally, nb::arg("counts"), nb::arg("rotation"), nb::arg("shifts"), nb::arg("weight"),
        nb::arg("cell_of_rotation"), nb::arg("per_class"), nb::arg("axis"), nb::arg("moved"),
        nb::arg("centre"), nb::arg("cells"), nb::arg("class_shift"));
  m.def("has_corners", [] { return kernels().pack_corners != nullptr; });
  m.def("pack_corners", &pack_corners, nb::arg("volume"), nb::arg("out"), nb::arg("times"),
        nb::arg("threads"));
  m.def("gather_lines", &gather_lines, nb::arg("volume"), nb::arg("planes"), nb::arg("out"),
        nb::arg("grid_radius2"), nb::arg("threads"));
  m.def("by_rotation", &by_rotation, nb::arg("n_rotations"), nb::arg("counts"), nb::arg("rotation"),
        nb::arg("shifts"), nb::arg("weight"));
  m.def("sums", &sums, nb::arg("radius"), nb::arg("grid_radius2"), nb::arg("volumes"),
        nb::arg("corners"), nb::arg("table").none(), nb::arg("planes"), nb::arg("classes"), nb::arg("x_phases"),
        nb::arg("y_phases"), nb::arg("b_re").none(), nb::arg("b_im").none(), nb::arg("c").none(),
        nb::arg("u_re"), nb::arg("u_im"), nb::arg("m"), nb::arg("sigma2"), nb::arg("mask"),
        nb::arg("groups"), nb::arg("residual"), nb::arg("rotation"), nb::arg("begin"),
        nb::arg("image"), nb::arg("tx"), nb::arg("ty"), nb::arg("weight"), nb::arg("values"),
        nb::arg("weights"), nb::arg("per_image"), nb::arg("per_pixel"), nb::arg("threads"));
}
