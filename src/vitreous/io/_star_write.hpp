// Columns to rows: the calling thread notes where the texts are, threads write chunks of rows.

#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "_star_values.hpp"

namespace star {

struct Unwritable {};

// See star_values.quoted.
inline void append_text(std::string& out, string_view text, bool first) {
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

inline void append_comment(std::string& out, string_view text) {
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

inline nb::bytes format_rows(nb::sequence columns, std::string kinds, nb::object comments, size_t begin,
                      size_t end) {
  return Formatter(columns, std::move(kinds), comments, begin, end).format();
}

}  // namespace star
