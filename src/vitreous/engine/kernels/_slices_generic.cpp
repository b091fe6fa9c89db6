// The slice kernels for the instruction set "generic".
#define VITREOUS_ISA generic
#include "_slices.hpp"
