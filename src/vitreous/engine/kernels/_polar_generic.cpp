// The polar kernel for the instruction set "generic".
#define VITREOUS_ISA generic
#include "_polar.hpp"
