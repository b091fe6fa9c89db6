// Arrays as they come from Python, and arrays that are handed to it, which then owns them.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <initializer_list>
#include <utility>
#include <vector>

namespace vitreous {

template <class T, int N>
using Array = nanobind::ndarray<T, nanobind::ndim<N>, nanobind::c_contig, nanobind::device::cpu>;

template <class T>
using Numpy = nanobind::ndarray<nanobind::numpy, T>;

template <class T>
Numpy<T> to_numpy(std::vector<T>&& values, std::initializer_list<size_t> shape) {
  auto* kept = new std::vector<T>(std::move(values));
  nanobind::capsule owner(kept, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
  return Numpy<T>(kept->data(), shape, owner);
}

}  // namespace vitreous
