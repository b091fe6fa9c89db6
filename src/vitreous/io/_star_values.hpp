// Single values: text to number and back. The reference is star_values.py.

#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "_star_tools.hpp"

namespace star {

// ---------------------------------------------------------------- text to number

// Plain decimals such as -12.345678: digits and power of ten are exact, so their quotient is the
// correctly rounded number. Returns where it ends, or null for whatever is not so simple.
inline const char* plain_float(const char* at, const char* end, double& value) {
  static constexpr double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = at != end && *at == '-';
  at += negative;
  const char* const first = at;
  const char* point = nullptr;
  uint64_t digits = 0;
  for (; at != end; ++at) {
    const unsigned digit = static_cast<unsigned char>(*at) - unsigned{'0'};
    if (digit < 10) {
      digits = digits * 10 + digit;
    } else if (*at == '.' && !point) {
      point = at;
    } else {
      break;
    }
  }
  const auto length = at - first;
  if (length < 1 || length > 16 || (point && length == 1)) return nullptr;
  if (digits >= (uint64_t{1} << 53)) return nullptr;
  const double size = static_cast<double>(digits) / powers[point ? at - point - 1 : 0];
  value = negative ? -size : size;
  return at;
}

// The same for whole numbers of up to 18 digits.
inline const char* plain_int(const char* at, const char* end, int64_t& value) {
  const bool negative = at != end && *at == '-';
  at += negative;
  const char* const first = at;
  int64_t digits = 0;
  for (; at != end && *at >= '0' && *at <= '9'; ++at) {
    if (at - first == 18) return nullptr;
    digits = digits * 10 + (*at - '0');
  }
  value = negative ? -digits : digits;
  return at == first ? nullptr : at;
}

inline bool to_float(string_view text, double& value) {
  const char* const last = text.data() + text.size();
  if (plain_float(text.data(), last, value) == last && !text.empty()) return true;
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

inline bool to_int(string_view text, int64_t& value) {
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
inline double leading_float(string_view text) {
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

inline int64_t leading_int(string_view text) {
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

// ---------------------------------------------------------------- number to text

inline void pad(std::string& out, size_t start, size_t width) {
  const size_t length = out.size() - start;
  if (length < width) out.insert(start, width - length, ' ');
}

// The shortest digits that give the number back, laid out as Python's repr does.
inline void append_shortest(std::string& out, double value) {
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

inline void append_special(std::string& out, double value) {
  if (std::signbit(value)) out.push_back('-');
  out.append(std::isnan(value) ? "nan" : "inf");
}

// A number from 0.001 to 100000 with `decimals` decimals, where that says it exactly: the
// division is correctly rounded, so the text reads back as the same number.
inline bool append_fixed(std::string& out, double value, int decimals) {
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

inline void append_scientific(std::string& out, double value, int decimals) {
  char text[32];
  const auto stop =
      std::to_chars(text, text + sizeof text, value, std::chars_format::scientific, decimals);
  double again = 0;
  std::from_chars(text, stop.ptr, again);
  if (again == value) out.append(text, stop.ptr);
  else append_shortest(out, value);
}

inline void append_float(std::string& out, double value) {
  const size_t start = out.size();
  const double size = std::fabs(value);
  const int decimals = value < 0 ? 5 : 6;
  if (!std::isfinite(value)) append_special(out, value);
  else if ((size > 0 && size < 0.001) || size > 100000) append_scientific(out, value, decimals);
  else if (!append_fixed(out, value, decimals)) append_shortest(out, value);
  pad(out, start, 12);
}

inline void append_int(std::string& out, int64_t value) {
  char text[24];
  const auto stop = std::to_chars(text, text + sizeof text, value);
  const size_t length = static_cast<size_t>(stop.ptr - text);
  if (length < 12) out.append(12 - length, ' ');
  out.append(text, length);
}

inline void append_item(std::string& out, int64_t value) { out.append(std::to_string(value)); }

inline void append_item(std::string& out, double value) {
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

}  // namespace star
