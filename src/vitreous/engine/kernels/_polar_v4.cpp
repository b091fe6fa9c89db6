// The polar kernel for the instruction set "v4".
#define VITREOUS_ISA v4
#include "_polar.hpp"
