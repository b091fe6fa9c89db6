// The slice kernels for the instruction set "v3".
#define VITREOUS_ISA v3
#include "_slices.hpp"
