// What reading and writing STAR rows share: blanks, threads, buffers of Python objects.

#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

namespace star {

namespace nb = nanobind;
using std::string_view;

constexpr size_t rows_per_chunk = 2048;
constexpr size_t chunks_per_batch = 16;
constexpr size_t most_threads = 8;
constexpr char bel = '\a';

inline bool is_blank(char c) { return c == ' ' || c == '\t'; }

inline bool is_vector(char kind) { return kind == 'D' || kind == 'I'; }

inline bool begins_with(string_view text, string_view start) {
  return text.substr(0, start.size()) == start;
}

inline string_view stripped(string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// A few threads for the work of one call; none outlives it, so forking stays safe.
template <typename Work>
void in_parallel(size_t count, const Work& work) {
  const size_t cores = std::max<size_t>(1, std::thread::hardware_concurrency());
  const size_t n_threads = std::min({count, cores, most_threads});
  std::atomic<size_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  auto run = [&] {
    try {
      for (size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      std::lock_guard<std::mutex> lock(guard);
      failure = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  for (size_t i = 1; i < n_threads; ++i) {
    try {
      threads.emplace_back(run);
    } catch (const std::system_error&) {
      break;  // the machine gives no more threads; those there are do the work
    }
  }
  run();
  for (auto& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
}

// A held buffer of a Python object.
class Buffer {
 public:
  Buffer(nb::handle object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <typename T>
  T* as() const { return static_cast<T*>(view_.buf); }
  size_t bytes() const { return static_cast<size_t>(view_.len); }
  size_t count() const { return bytes() / static_cast<size_t>(view_.itemsize); }

 private:
  Py_buffer view_{};
};

}  // namespace star
