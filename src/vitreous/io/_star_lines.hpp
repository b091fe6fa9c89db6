// Lines of a STAR file and the cells of a line. The reference is star_rows.py.

#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "_star_tools.hpp"

namespace star {

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

// A block that begins although no empty line came before.
inline bool is_header(const Lines& lines, string_view line, size_t following) {
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
inline Split split_cells(string_view line, std::vector<Cell>& cells, string_view& comment) {
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
inline std::string unescaped(const Cell& cell) {
  std::string text;
  for (size_t i = 0; i < cell.text.size(); ++i) {
    const bool before_quote =
        cell.text[i] == bel && i + 1 < cell.text.size() && cell.text[i + 1] == cell.quote &&
        (i + 2 == cell.text.size() || is_blank(cell.text[i + 2]));
    if (!before_quote) text.push_back(cell.text[i]);
  }
  return text;
}

inline bool needs_unescape(const Cell& cell) {
  return cell.quote && cell.text.find(bel) != string_view::npos;
}

}  // namespace star
