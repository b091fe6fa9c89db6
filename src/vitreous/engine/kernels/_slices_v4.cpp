// The slice and refinement kernels for the instruction set "v4".
#define VITREOUS_ISA v4
#include "_slices.hpp"
#include "_insert.hpp"
#include "_tiles.hpp"
#include "_plain.hpp"
#include "_corners.hpp"
#include "_refine.hpp"
