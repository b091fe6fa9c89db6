// Rows of a STAR loop: text to columns and back. The reference, and the meaning of every
// argument, is star_rows.py; tests/io/test_star_kernel.py holds the two equal.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "_star_read.hpp"
#include "_star_write.hpp"

namespace nb = nanobind;

NB_MODULE(_star, module) {
  module.doc() = "Compiled rows of STAR files; see star_rows.py.";
  module.def("parse_rows", &star::parse_rows, nb::arg("content"), nb::arg("start"), nb::arg("kinds"),
             nb::arg("permissive"), nb::arg("release") = false);
  module.def("format_rows", &star::format_rows, nb::arg("columns"), nb::arg("kinds"),
             nb::arg("comments").none(), nb::arg("begin"), nb::arg("end"));
}
