// The polar kernel for the instruction set "v3".
#define VITREOUS_ISA v3
#include "_polar.hpp"
