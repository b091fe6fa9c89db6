// Rows of a STAR loop: text to columns and back. The reference, and the meaning of every
// argument, is star_rows.py; tests/io/test_star_kernel.py holds the two equal.
//
// Reading: one pass finds where the rows end and cuts them into chunks; then, batch by batch,
// threads turn numbers into numbers and note where the texts are, and this thread, which holds
// the interpreter, makes the `str` objects, one for texts that repeat.
// Writing: this thread notes where the texts are, threads write chunks of rows.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

namespace nb = nanobind;
using std::string_view;

namespace {

constexpr size_t rows_per_chunk = 2048;
constexpr size_t chunks_per_batch = 16;
constexpr size_t most_threads = 8;
constexpr char bel = '\a';

// ---------------------------------------------------------------- small tools

bool is_blank(char c) { return c == ' ' || c == '\t'; }

bool is_vector(char kind) { return kind == 'D' || kind == 'I'; }

string_view stripped(string_view text) {
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

// ---------------------------------------------------------------- text to number

// Plain decimals such as -12.345678: digits and power of ten are exact, so their quotient is the
// correctly rounded number. Everything else is left to `to_float`.
bool to_plain_float(string_view text, double& value) {
  static constexpr double powers[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const char* at = text.data();
  const char* const end = at + text.size();
  const bool negative = at != end && *at == '-';
  at += negative;
  if (end - at < 1 || end - at > 16) return false;
  uint64_t digits = 0;
  const char* point = nullptr;
  for (; at != end; ++at) {
    const unsigned digit = static_cast<unsigned char>(*at) - '0';
    if (digit < 10) {
      digits = digits * 10 + digit;
    } else if (*at == '.' && !point) {
      point = at;
    } else {
      return false;
    }
  }
  if (digits >= (uint64_t{1} << 53) || (point && text.size() - negative == 1)) return false;
  const double size = static_cast<double>(digits) / powers[point ? end - point - 1 : 0];
  value = negative ? -size : size;
  return true;
}

bool to_float(string_view text, double& value) {
  if (to_plain_float(text, value)) return true;
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '-') return false;
  }
  if (text.empty() || text.back() == ')') return false;  // nan(...) is no number here
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, value);
  if (stop != end) return false;
  if (error == std::errc::result_out_of_range) {
    value = std::strtod(std::string(text).c_str(), nullptr);  // infinity or zero
    return true;
  }
  return error == std::errc();
}

bool to_int(string_view text, int64_t& value) {
  string_view digits = text;
  if (!digits.empty() && digits.front() == '+') {
    digits.remove_prefix(1);
    if (!digits.empty() && digits.front() == '-') return false;
  }
  const char* end = digits.data() + digits.size();
  auto [stop, error] = std::from_chars(digits.data(), end, value);
  if (stop == end && !digits.empty()) return error == std::errc();
  double real = 0;
  if (!to_float(text, real) || !std::isfinite(real) || real != std::floor(real)) return false;
  if (real < -9223372036854775808.0 || real >= 9223372036854775808.0) return false;
  value = static_cast<int64_t>(real);
  return true;
}

// What RELION takes a text for that is no number: the number at its start, or 0.
double leading_float(string_view text) {
  const bool plus = !text.empty() && text.front() == '+';
  if (plus) text.remove_prefix(1);
  const size_t first = !plus && !text.empty() && text.front() == '-' ? 1 : 0;
  const size_t digit = first < text.size() && text[first] == '.' ? first + 1 : first;
  if (digit >= text.size() || text[digit] < '0' || text[digit] > '9') return 0;
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) {
    value = std::strtod(std::string(text.data(), stop).c_str(), nullptr);
  }
  return value;
}

int64_t leading_int(string_view text) {
  if (!text.empty() && text.front() == '+') {
    text.remove_prefix(1);
    if (!text.empty() && text.front() == '-') return 0;
  }
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() ? value : 0;
}

template <typename T, typename Convert>
bool to_vector(string_view text, std::vector<T>& values, Convert convert) {
  values.clear();
  if (text.size() < 2 || text.front() != '[' || text.back() != ']') return false;
  text = text.substr(1, text.size() - 2);
  if (text.empty()) return true;
  while (true) {
    const size_t comma = text.find(',');
    T value{};
    if (!convert(text.substr(0, comma), value)) return false;
    values.push_back(value);
    if (comma == string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

// ---------------------------------------------------------------- lines and cells

struct Lines {
  string_view content;

  // The line at `offset` without its end; moves `offset` to the next line.
  string_view next(size_t& offset) const {
    const char* begin = content.data() + offset;
    const auto* stop = static_cast<const char*>(std::memchr(begin, '\n', content.size() - offset));
    size_t length = stop ? static_cast<size_t>(stop - begin) : content.size() - offset;
    offset += length + (stop ? 1 : 0);
    if (length > 0 && begin[length - 1] == '\r') --length;
    return {begin, length};
  }
};

bool begins_with(string_view text, string_view start) {
  return text.substr(0, start.size()) == start;
}

// A block that begins although no empty line came before.
bool is_header(const Lines& lines, string_view line, size_t following) {
  if (!begins_with(line, "data_") && !begins_with(line, "loop_")) return false;
  while (!line.empty() && is_blank(line.back())) line.remove_suffix(1);
  const bool loop = line == "loop_";
  if (line.find_first_of(" \t") != string_view::npos || (line[0] == 'l' && !loop)) return false;
  while (following < lines.content.size()) {
    const string_view text = stripped(lines.next(following));
    if (!text.empty() && text[0] != '#') return text[0] == '_' || (text == "loop_" && !loop);
  }
  return false;
}

struct Cell {
  string_view text;
  char quote = 0;  // the quote around it, where a BEL may be inside
};

enum class Split { done, open_quote };

// Split a line into cells and what stands behind `#`.
Split split_cells(string_view line, std::vector<Cell>& cells, string_view& comment) {
  cells.clear();
  comment = {};
  size_t at = 0;
  while (true) {
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size()) return Split::done;
    const char c = line[at];
    if (c == '#') {
      comment = line.substr(at + 1);
      if (!comment.empty() && comment.front() == ' ') comment.remove_prefix(1);
      return Split::done;
    }
    size_t stop = at;
    if (c == '"' || c == '\'') {
      do {
        stop = line.find(c, stop + 1);
        if (stop == string_view::npos) return Split::open_quote;
      } while (line[stop - 1] == bel || (stop + 1 < line.size() && !is_blank(line[stop + 1])));
      cells.push_back({line.substr(at + 1, stop - at - 1), c});
      at = stop + 1;
    } else {
      while (stop < line.size() && !is_blank(line[stop])) ++stop;
      cells.push_back({line.substr(at, stop - at), 0});
      at = stop;
    }
  }
}

// The text of a quoted cell: a BEL before a quote that does not close is dropped.
std::string unescaped(const Cell& cell) {
  std::string text;
  for (size_t i = 0; i < cell.text.size(); ++i) {
    const bool before_quote =
        cell.text[i] == bel && i + 1 < cell.text.size() && cell.text[i + 1] == cell.quote &&
        (i + 2 == cell.text.size() || is_blank(cell.text[i + 2]));
    if (!before_quote) text.push_back(cell.text[i]);
  }
  return text;
}

bool needs_unescape(const Cell& cell) {
  return cell.quote && cell.text.find(bel) != string_view::npos;
}

// ---------------------------------------------------------------- reading

nb::object decoded(string_view text) {
  PyObject* made = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()),
                                        "surrogateescape");
  if (!made) throw nb::python_error();
  return nb::steal(made);
}

bool is_ascii(string_view text) {
  unsigned char any = 0;
  for (char c : text) any |= static_cast<unsigned char>(c);
  return any < 0x80;
}

// Makes `str` objects, and gives the same one again for a text met before.
class Texts {
 public:
  Texts() : seen_(slots, nullptr) {}

  // A new reference.
  PyObject* make(string_view text) {
    if (!is_ascii(text)) return make_other(text);
    PyObject*& slot = seen_[std::hash<string_view>{}(text) % slots];
    if (slot && static_cast<size_t>(PyUnicode_GET_LENGTH(slot)) == text.size() &&
        std::memcmp(PyUnicode_1BYTE_DATA(slot), text.data(), text.size()) == 0) {
      return Py_NewRef(slot);
    }
    PyObject* made = PyUnicode_New(static_cast<Py_ssize_t>(text.size()), 127);
    if (!made) throw nb::python_error();
    if (!text.empty()) std::memcpy(PyUnicode_1BYTE_DATA(made), text.data(), text.size());
    slot = made;  // borrowed: the column that gets the object outlives this cache
    return made;
  }

 private:
  static constexpr size_t slots = 1 << 15;

  PyObject* make_other(string_view text) {
    auto [place, is_new] = others_.try_emplace(std::string(text), nb::object());
    if (is_new) place->second = decoded(text);
    return place->second.inc_ref().ptr();
  }

  std::vector<PyObject*> seen_;
  std::unordered_map<std::string, nb::object> others_;
};

struct Chunk {
  size_t begin = 0, end = 0;  // bytes
  size_t row = 0, line = 0;   // of its first line, counted from the start of the rows
};

struct Trouble {
  std::string code;
  size_t line = 0, row = 0, column = 0;
  std::string text;
  size_t count = 1;
};

struct Comment {
  int64_t row;
  string_view text;
};

// What the threads leave behind for one chunk.
struct ChunkResult {
  std::vector<Cell> texts;  // row by row, the cells of the columns that hold no numbers
  std::vector<Comment> comments;
  std::map<size_t, Trouble> troubles;  // by column
  std::vector<Trouble> fatal;          // at most one: no later row was read
};

struct Layout {
  std::vector<Chunk> chunks;
  size_t n_rows = 0, n_lines = 0, end = 0;
};

// Find where the rows end, and cut them into chunks.
Layout layout_of(const Lines& lines, size_t start) {
  Layout layout;
  size_t offset = start, in_chunk = rows_per_chunk;
  while (offset < lines.content.size()) {
    size_t following = offset;
    const string_view line = lines.next(following);
    size_t at = 0;
    while (at < line.size() && is_blank(line[at])) ++at;
    if (at == line.size() || is_header(lines, line, following)) break;
    if (in_chunk == rows_per_chunk) {
      layout.chunks.push_back({offset, offset, layout.n_rows, layout.n_lines});
      in_chunk = 0;
    }
    ++in_chunk;
    ++layout.n_lines;
    layout.n_rows += line[at] != '#';
    layout.chunks.back().end = following;
    offset = following;
  }
  layout.end = std::min(offset, lines.content.size());
  return layout;
}

class Parser {
 public:
  Parser(string_view content, std::string kinds, bool permissive)
      : lines_{content}, kinds_(std::move(kinds)), permissive_(permissive) {
    for (char kind : kinds_) n_texts_ += kind == 's' || is_vector(kind);
  }

  nb::tuple parse(size_t start, bool release) {
    Layout layout = layout_of(lines_, start);
    allocate(layout.n_rows);
    for (size_t first = 0; first < layout.chunks.size(); first += chunks_per_batch) {
      const size_t count = std::min(chunks_per_batch, layout.chunks.size() - first);
      std::vector<ChunkResult> results(count);
      {
        nb::gil_scoped_release unlocked;
        in_parallel(count, [&](size_t i) { read_chunk(layout.chunks[first + i], results[i]); });
      }
      for (size_t i = 0; i < count; ++i) {
        gather(layout.chunks[first + i], results[i]);
        if (!fatal_.empty()) return failed();
      }
      if (release) forget(layout.chunks[first].begin, layout.chunks[first + count - 1].end);
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
    nb::list troubles;
    for (const auto& [column, trouble] : troubles_) troubles.append(as_tuple(trouble));
    return nb::make_tuple(columns_, layout.end, layout.n_lines, comments_, troubles);
  }

 private:
  void allocate(size_t n_rows) {
    nb::object empty = nb::module_::import_("numpy").attr("empty");
    for (char kind : kinds_) {
      const char* dtype = kind == 'd' ? "f8" : kind == 'i' ? "i8" : kind == 'b' ? "?" : "O";
      nb::object column = empty(n_rows, dtype);
      buffers_.push_back(std::make_unique<Buffer>(column, PyBUF_WRITABLE | PyBUF_FORMAT));
      columns_.append(column);
      caches_.push_back(kind == 's' ? std::make_unique<Texts>() : nullptr);
    }
  }

  // In a thread, without the interpreter.
  void read_chunk(const Chunk& chunk, ChunkResult& result) const {
    size_t offset = chunk.begin, row = chunk.row, line_number = chunk.line;
    std::vector<Cell> cells;
    string_view comment;
    result.texts.reserve(rows_per_chunk * n_texts_);
    for (; offset < chunk.end; ++line_number) {
      const string_view line = lines_.next(offset);
      const Split split = split_cells(line, cells, comment);
      if (!comment.empty()) {
        result.comments.push_back({cells.empty() ? -1 : static_cast<int64_t>(row), comment});
      }
      if (split == Split::open_quote) {
        result.fatal.push_back({"quote", line_number, row, 0, std::string(stripped(line)), 1});
        return;
      }
      if (cells.empty()) continue;
      if (cells.size() > kinds_.size() || (cells.size() < kinds_.size() && kinds_.size() != 2)) {
        result.fatal.push_back({cells.size() > kinds_.size() ? "many" : "few", line_number, row, 0,
                                std::to_string(cells.size()), 1});
        return;
      }
      for (size_t column = 0; column < kinds_.size(); ++column) {
        const bool given = column < cells.size();
        if (read_cell(column, row, given ? &cells[column] : nullptr, result)) continue;
        Trouble found{"number", line_number, row, column,
                      needs_unescape(cells[column]) ? unescaped(cells[column])
                                                    : std::string(cells[column].text), 1};
        if (!permissive_) {
          result.fatal.push_back(std::move(found));
          return;
        }
        auto [place, is_new] = result.troubles.try_emplace(column, found);
        if (!is_new) ++place->second.count;
      }
      ++row;
    }
  }

  // Store one value; null stands for the missing second value of a two-column table.
  bool read_cell(size_t column, size_t row, const Cell* cell, ChunkResult& result) const {
    const char kind = kinds_[column];
    if (kind == 's') {
      result.texts.push_back(cell ? *cell : Cell{});
      return true;
    }
    if (is_vector(kind)) {
      const bool good = !cell || (kind == 'D' ? is_good_vector<double>(cell->text, to_float)
                                              : is_good_vector<int64_t>(cell->text, to_int));
      result.texts.push_back(cell && good ? *cell : Cell{"[]", 0});
      return good;
    }
    bool good = true;
    if (kind == 'd') {
      double value = 0;
      good = !cell || to_float(cell->text, value);
      buffers_[column]->as<double>()[row] = good ? value : leading_float(cell->text);
    } else {
      int64_t value = 0;
      good = !cell || to_int(cell->text, value);
      if (!good) value = leading_int(cell->text);
      if (kind == 'i') buffers_[column]->as<int64_t>()[row] = value;
      else buffers_[column]->as<bool>()[row] = value != 0;
    }
    return good;
  }

  template <typename T, typename Convert>
  static bool is_good_vector(string_view text, Convert convert) {
    std::vector<T> values;
    return to_vector(text, values, convert);
  }

  // With the interpreter: texts, comments and troubles of a chunk, in order.
  void gather(const Chunk& chunk, ChunkResult& result) {
    if (!result.fatal.empty()) {
      fatal_ = std::move(result.fatal);
      return;
    }
    size_t text = 0;
    for (size_t column = 0; column < kinds_.size(); ++column) {
      if (kinds_[column] != 's' && !is_vector(kinds_[column])) continue;
      size_t row = chunk.row;
      for (size_t i = text; i < result.texts.size(); i += n_texts_, ++row) {
        PyObject*& place = buffers_[column]->as<PyObject*>()[row];
        PyObject* old = place;
        place = make_object(column, result.texts[i]);
        Py_XDECREF(old);
      }
      ++text;
    }
    for (const auto& comment : result.comments) {
      comments_.append(nb::make_tuple(comment.row, decoded(comment.text)));
    }
    for (auto& [column, trouble] : result.troubles) {
      auto [place, is_new] = troubles_.try_emplace(column, trouble);
      if (!is_new) place->second.count += trouble.count;
    }
  }

  PyObject* make_object(size_t column, const Cell& cell) {
    if (kinds_[column] == 's') {
      return needs_unescape(cell) ? caches_[column]->make(unescaped(cell))
                                  : caches_[column]->make(cell.text);
    }
    return kinds_[column] == 'D' ? make_vector<double>(cell.text, "f8", to_float)
                                 : make_vector<int64_t>(cell.text, "i8", to_int);
  }

  template <typename T, typename Convert>
  static PyObject* make_vector(string_view text, const char* dtype, Convert convert) {
    std::vector<T> values;
    to_vector(text, values, convert);
    nb::object made = nb::module_::import_("numpy").attr("empty")(values.size(), dtype);
    if (!values.empty()) {
      Buffer buffer(made, PyBUF_WRITABLE);
      std::memcpy(buffer.as<T>(), values.data(), values.size() * sizeof(T));
    }
    made.attr("setflags")(nb::arg("write") = false);
    return made.release().ptr();
  }

  static nb::tuple as_tuple(const Trouble& t) {
    return nb::make_tuple(t.code, t.line, t.row, t.column, decoded(t.text), t.count);
  }

  nb::tuple failed() const {
    nb::list troubles;
    troubles.append(as_tuple(fatal_.front()));
    return nb::make_tuple(nb::list(), size_t{0}, size_t{0}, nb::list(), troubles);
  }

  // Give back the memory of text that has been read; it is private and never read again.
  void forget(size_t begin, size_t end) const {
#ifdef __linux__
    constexpr uintptr_t page = 65536;  // a multiple of every page size in use
    auto first = reinterpret_cast<uintptr_t>(lines_.content.data() + begin) / page * page + page;
    auto last = reinterpret_cast<uintptr_t>(lines_.content.data() + end) / page * page;
    if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
#endif
  }

  Lines lines_;
  std::string kinds_;
  bool permissive_;
  size_t n_texts_ = 0;
  nb::list columns_, comments_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<std::unique_ptr<Texts>> caches_;
  std::map<size_t, Trouble> troubles_;
  std::vector<Trouble> fatal_;
};

nb::tuple parse_rows(nb::handle content, size_t start, std::string kinds, bool permissive,
                     bool release) {
  Buffer buffer(content, PyBUF_SIMPLE);
  Parser parser({buffer.as<const char>(), buffer.bytes()}, std::move(kinds), permissive);
  return parser.parse(std::min(start, buffer.bytes()), release);
}

// ---------------------------------------------------------------- number to text

void pad(std::string& out, size_t start, size_t width) {
  const size_t length = out.size() - start;
  if (length < width) out.insert(start, width - length, ' ');
}

// The shortest digits that give the number back, laid out as Python's repr does.
void append_shortest(std::string& out, double value) {
  char text[32];
  const auto stop = std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  string_view all(text, static_cast<size_t>(stop.ptr - text));
  if (all.front() == '-') {
    out.push_back('-');
    all.remove_prefix(1);
  }
  const size_t e = all.find('e');
  int exponent = 0;
  const char* digits_end = all.data() + all.size();
  std::from_chars(all.data() + e + (all[e + 1] == '+' ? 2 : 1), digits_end, exponent);
  if (exponent < -4 || exponent >= 16) {
    out.append(all);
    return;
  }
  std::string digits(1, all[0]);
  if (e > 2) digits.append(all.substr(2, e - 2));
  const int n = static_cast<int>(digits.size());
  if (exponent < 0) {
    out.append("0.").append(static_cast<size_t>(-exponent - 1), '0').append(digits);
  } else if (n <= exponent + 1) {
    out.append(digits).append(static_cast<size_t>(exponent + 1 - n), '0').append(".0");
  } else {
    out.append(digits, 0, static_cast<size_t>(exponent + 1)).push_back('.');
    out.append(digits, static_cast<size_t>(exponent + 1), std::string::npos);
  }
}

void append_special(std::string& out, double value) {
  if (std::signbit(value)) out.push_back('-');
  out.append(std::isnan(value) ? "nan" : "inf");
}

// A number from 0.001 to 100000 with `decimals` decimals, where that says it exactly: the
// division is correctly rounded, so the text reads back as the same number.
bool append_fixed(std::string& out, double value, int decimals) {
  const double scale = decimals == 6 ? 1e6 : 1e5;
  const double size = std::fabs(value);
  auto units = static_cast<uint64_t>(std::llround(size * scale));
  if (static_cast<double>(units) / scale != size) return false;
  char text[24];
  char* at = text + sizeof text;
  for (int i = 0; i < decimals; ++i, units /= 10) *--at = static_cast<char>('0' + units % 10);
  *--at = '.';
  do {
    *--at = static_cast<char>('0' + units % 10);
    units /= 10;
  } while (units);
  if (std::signbit(value)) *--at = '-';
  out.append(at, static_cast<size_t>(text + sizeof text - at));
  return true;
}

void append_scientific(std::string& out, double value, int decimals) {
  char text[32];
  const auto stop =
      std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, decimals);
  double again = 0;
  std::from_chars(text, stop.ptr, again);
  if (again == value) out.append(text, stop.ptr);
  else append_shortest(out, value);
}

void append_float(std::string& out, double value) {
  const size_t start = out.size();
  const double size = std::fabs(value);
  const int decimals = value < 0 ? 5 : 6;
  if (!std::isfinite(value)) append_special(out, value);
  else if ((size > 0 && size < 0.001) || size > 100000) append_scientific(out, value, decimals);
  else if (!append_fixed(out, value, decimals)) append_shortest(out, value);
  pad(out, start, 12);
}

void append_int(std::string& out, int64_t value) {
  char text[24];
  const auto stop = std::to_chars(text, text + sizeof text, value);
  const size_t length = static_cast<size_t>(stop.ptr - text);
  if (length < 12) out.append(12 - length, ' ');
  out.append(text, length);
}

void append_item(std::string& out, int64_t value) { out.append(std::to_string(value)); }

void append_item(std::string& out, double value) {
  if (!std::isfinite(value)) return append_special(out, value);
  char text[32];
  const auto stop =
      std::to_chars(text, text + sizeof text, value, std::chars_format::general, 12);
  double again = 0;
  std::from_chars(text, stop.ptr, again);
  if (again == value) out.append(text, stop.ptr);
  else append_shortest(out, value);
}

template <typename T>
std::string vector_text(nb::handle array) {
  Buffer buffer(array, PyBUF_SIMPLE);
  std::string out = "[";
  for (size_t i = 0; i < buffer.bytes() / sizeof(T); ++i) {
    if (i) out.push_back(',');
    append_item(out, buffer.as<const T>()[i]);
  }
  return out + "]";
}

struct Unwritable {};

// See star_values.quoted.
void append_text(std::string& out, string_view text, bool first) {
  const size_t start = out.size();
  if (text.find_first_of(string_view("\n\r\0", 3)) != string_view::npos) throw Unwritable();
  const bool passes_for_other =
      first && !text.empty() &&
      (text[0] == '_' || text[0] == ';' || begins_with(text, "data_") ||
       begins_with(text, "loop_"));
  const bool quoted = passes_for_other || text.empty() ||
                      string_view("\"'#").find(text[0]) != string_view::npos ||
                      text.find_first_of(" \t") != string_view::npos;
  if (!quoted) {
    out.append(text);
  } else {
    if (text.find(bel) != string_view::npos) throw Unwritable();
    out.push_back('"');
    for (size_t i = 0; i < text.size(); ++i) {
      const bool closes = text[i] == '"' && (i + 1 == text.size() || is_blank(text[i + 1]));
      if (closes) out.push_back(bel);
      out.push_back(text[i]);
    }
    out.push_back('"');
  }
  pad(out, start, 10);
}

void append_comment(std::string& out, string_view text) {
  if (text.empty()) return;
  if (text.find_first_of(string_view("\n\r\0", 3)) != string_view::npos) throw Unwritable();
  out.append("# ").append(text);
}

// The texts of some rows of an object column, with what keeps them alive.
class TextColumn {
 public:
  TextColumn(nb::handle column, char kind, size_t begin, size_t end) {
    Buffer buffer(column, PyBUF_FORMAT);
    end = std::min(end, buffer.count());
    texts_.reserve(end - std::min(begin, end));
    for (size_t row = begin; row < end; ++row) {
      nb::handle item(buffer.as<PyObject*>()[row]);
      if (kind == 's') add_text(item);
      else add_owned(kind == 'D' ? vector_text<double>(item) : vector_text<int64_t>(item));
    }
  }
  string_view at(size_t i) const { return texts_[i]; }

 private:
  void add_text(nb::handle item) {
    if (!PyUnicode_Check(item.ptr())) {
      throw nb::type_error("a column of text holds something that is not text");
    }
    if (PyUnicode_IS_ASCII(item.ptr())) {
      texts_.emplace_back(reinterpret_cast<const char*>(PyUnicode_1BYTE_DATA(item.ptr())),
                          static_cast<size_t>(PyUnicode_GET_LENGTH(item.ptr())));
      return;
    }
    PyObject* bytes = PyUnicode_AsEncodedString(item.ptr(), "utf-8", "surrogateescape");
    if (!bytes) throw nb::python_error();
    kept_.push_back(nb::steal(bytes));
    texts_.emplace_back(PyBytes_AS_STRING(bytes), static_cast<size_t>(PyBytes_GET_SIZE(bytes)));
  }

  void add_owned(std::string text) {
    kept_.push_back(nb::bytes(text.data(), text.size()));
    PyObject* bytes = kept_.back().ptr();
    texts_.emplace_back(PyBytes_AS_STRING(bytes), text.size());
  }

  std::vector<string_view> texts_;
  std::vector<nb::object> kept_;
};

class Formatter {
 public:
  Formatter(nb::sequence columns, std::string kinds, nb::object comments, size_t begin,
            size_t end)
      : kinds_(std::move(kinds)), begin_(begin), end_(end) {
    size_t i = 0;
    for (nb::handle column : columns) {
      const char kind = kinds_.at(i++);
      const bool numeric = kind == 'd' || kind == 'i' || kind == 'b';
      numbers_.push_back(numeric ? std::make_unique<Buffer>(column, PyBUF_FORMAT) : nullptr);
      texts_.push_back(numeric ? nullptr
                               : std::make_unique<TextColumn>(column, kind, begin, end));
    }
    if (!comments.is_none()) {
      comments_ = std::make_unique<TextColumn>(comments, 's', begin, end);
    }
  }

  nb::bytes format() const {
    const size_t n_chunks = (end_ - begin_ + rows_per_chunk - 1) / rows_per_chunk;
    std::vector<std::string> pieces(n_chunks);
    std::atomic<bool> unwritable{false};
    {
      nb::gil_scoped_release unlocked;
      in_parallel(n_chunks, [&](size_t i) {
        try {
          write_chunk(begin_ + i * rows_per_chunk, pieces[i]);
        } catch (const Unwritable&) {
          unwritable = true;
        }
      });
    }
    if (unwritable) throw nb::value_error("a text cannot be written in a STAR file");
    size_t total = 0;
    for (const auto& piece : pieces) total += piece.size();
    nb::bytes whole = nb::steal<nb::bytes>(
        PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(total)));
    if (!whole.is_valid()) throw nb::python_error();
    char* at = PyBytes_AS_STRING(whole.ptr());
    for (const auto& piece : pieces) {
      std::memcpy(at, piece.data(), piece.size());
      at += piece.size();
    }
    return whole;
  }

 private:
  void write_chunk(size_t first, std::string& out) const {
    const size_t last = std::min(first + rows_per_chunk, end_);
    out.reserve((last - first) * (kinds_.size() * 14 + 32));
    for (size_t row = first; row < last; ++row) {
      for (size_t column = 0; column < kinds_.size(); ++column) {
        write_cell(column, row, out);
        out.push_back(' ');
      }
      if (comments_) append_comment(out, comments_->at(row - begin_));
      out.push_back('\n');
    }
  }

  void write_cell(size_t column, size_t row, std::string& out) const {
    switch (kinds_[column]) {
      case 'd': return append_float(out, numbers_[column]->as<const double>()[row]);
      case 'i': return append_int(out, numbers_[column]->as<const int64_t>()[row]);
      case 'b': return append_int(out, numbers_[column]->as<const bool>()[row] ? 1 : 0);
      case 's': return append_text(out, texts_[column]->at(row - begin_), column == 0);
      default: break;
    }
    const size_t start = out.size();
    out.append(texts_[column]->at(row - begin_));
    pad(out, start, 10);
  }

  std::string kinds_;
  size_t begin_, end_;
  std::vector<std::unique_ptr<Buffer>> numbers_;
  std::vector<std::unique_ptr<TextColumn>> texts_;
  std::unique_ptr<TextColumn> comments_;
};

nb::bytes format_rows(nb::sequence columns, std::string kinds, nb::object comments, size_t begin,
                      size_t end) {
  return Formatter(columns, std::move(kinds), comments, begin, end).format();
}

}  // namespace

NB_MODULE(_star, module) {
  module.doc() = "Compiled rows of STAR files; see star_rows.py.";
  module.def("parse_rows", &parse_rows, nb::arg("content"), nb::arg("start"), nb::arg("kinds"),
             nb::arg("permissive"), nb::arg("release") = false);
  module.def("format_rows", &format_rows, nb::arg("columns"), nb::arg("kinds"),
             nb::arg("comments").none(), nb::arg("begin"), nb::arg("end"));
}
