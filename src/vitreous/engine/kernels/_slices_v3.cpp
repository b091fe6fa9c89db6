// The slice and refinement kernels for the instruction set "v3".
#define VITREOUS_ISA v3
#include "_slices.hpp"
#include "_insert.hpp"
#include "_tiles.hpp"
#include "_plain.hpp"
#include "_corners.hpp"
#include "_refine.hpp"
