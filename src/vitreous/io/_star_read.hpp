// Rows to columns. One pass finds where the rows end and cuts them into chunks; then, batch by
// batch, threads turn numbers into numbers and note where the texts are, and the calling thread,
// which holds the interpreter, makes the `str` objects, one for texts that repeat.

#pragma once

#include <nanobind/nanobind.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "_star_lines.hpp"
#include "_star_values.hpp"

namespace star {

inline nb::object decoded(string_view text) {
  PyObject* made = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()),
                                        "surrogateescape");
  if (!made) throw nb::python_error();
  return nb::steal(made);
}

inline bool is_ascii(string_view text) {
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
inline Layout layout_of(const Lines& lines, size_t start) {
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
      data_.push_back(buffers_.back()->as<void>());
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
      const size_t n_texts = result.texts.size();
      if (read_plain_row(line, row, result)) {
        ++row;
        continue;
      }
      result.texts.resize(n_texts);
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

  // Most rows: as many cells as columns, plain numbers, no quotes, no comment. Says false for any
  // other row, which is then read again with all rules.
  bool read_plain_row(string_view line, size_t row, ChunkResult& result) const {
    const char* at = line.data();
    const char* const end = at + line.size();
    for (size_t column = 0; column < kinds_.size(); ++column) {
      while (at != end && is_blank(*at)) ++at;
      if (at == end) return false;
      const char* const first = at;
      switch (kinds_[column]) {
        case 'd': at = plain_float(at, end, static_cast<double*>(data_[column])[row]); break;
        case 'i': at = plain_int(at, end, static_cast<int64_t*>(data_[column])[row]); break;
        case 's':
          if (*at == '"' || *at == '\'' || *at == '#') return false;
          while (at != end && !is_blank(*at)) ++at;
          result.texts.push_back({string_view(first, static_cast<size_t>(at - first)), 0});
          break;
        default: return false;
      }
      if (!at || (at != end && !is_blank(*at))) return false;
    }
    while (at != end && is_blank(*at)) ++at;
    return at == end;
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
  std::vector<void*> data_;
  std::vector<std::unique_ptr<Texts>> caches_;
  std::map<size_t, Trouble> troubles_;
  std::vector<Trouble> fatal_;
};

inline nb::tuple parse_rows(nb::handle content, size_t start, std::string kinds, bool permissive,
                     bool release) {
  Buffer buffer(content, PyBUF_SIMPLE);
  Parser parser({buffer.as<const char>(), buffer.bytes()}, std::move(kinds), permissive);
  return parser.parse(std::min(start, buffer.bytes()), release);
}

}  // namespace star
