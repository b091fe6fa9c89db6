// LZW as TIFF packs pixels (TIFF 6.0, section 13): codes of 9 to 12 bits, the highest bit first,
// one wider a code early. A string in the table is a place in what is unpacked already: the last
// string and the pixel after it stand there one behind the other.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <cstring>

namespace nb = nanobind;

namespace {

constexpr unsigned kClear = 256, kEnd = 257, kFirst = 258, kMost = 4096;

struct Entry {
  uint32_t place, length;
};

// Returns how many bytes came out; fewer than wanted where the codes end or make no sense.
size_t decode(const uint8_t* in, size_t n_in, uint8_t* out, size_t n_out) {
  Entry table[kMost];
  const uint8_t* const stop = in + n_in;
  uint64_t bits = 0;
  unsigned n_bits = 0, width = 9, next = kFirst;
  size_t at = 0, last = 0, last_length = 0;  // no last string: length 0
  while (at < n_out) {
    if (n_bits < width) {
      if (stop - in >= 4) {
        uint32_t word;
        std::memcpy(&word, in, 4);
        bits = bits << 32 | __builtin_bswap32(word);
        n_bits += 32;
        in += 4;
      } else {
        while (in < stop) bits = bits << 8 | *in++, n_bits += 8;
        if (n_bits < width) break;
      }
    }
    n_bits -= width;
    const unsigned code = bits >> n_bits & ((1u << width) - 1);
    if (code == kClear) {
      width = 9, next = kFirst, last_length = 0;
      continue;
    }
    if (code == kEnd) break;
    if (last_length && next < kMost) {
      table[next++] = {uint32_t(last), uint32_t(last_length + 1)};
      if (next >= (1u << width) - 1 && width < 12) ++width;
    }
    size_t length = 1;
    if (code < kClear) {
      out[at] = uint8_t(code);
    } else {
      if (code >= next) break;
      const Entry entry = table[code];
      const uint8_t* from = out + entry.place;
      uint8_t* to = out + at;
      length = entry.length;
      if (length > n_out - at) length = n_out - at;
      if (code == next - 1 || at + length + 16 > n_out) {  // may reach into itself, or the end
        for (size_t i = 0; i < length; ++i) to[i] = from[i];
      } else {  // what is written too much is written over by the next string
        for (size_t i = 0; i < length; i += 16) std::memcpy(to + i, from + i, 16);
      }
    }
    last = at, last_length = length;
    at += length;
  }
  return at;
}

}  // namespace

NB_MODULE(_lzw, module) {
  module.doc() = "Unpacking of TIFF's LZW; see lzw.py.";
  module.def(
      "decode",
      [](nb::bytes data, nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu> out) {
        const auto* in = reinterpret_cast<const uint8_t*>(data.c_str());
        const size_t n_in = data.size();
        nb::gil_scoped_release release;
        return decode(in, n_in, out.data(), out.size());
      },
      nb::arg("data"), nb::arg("out"));
}
