"""Motion correction: alignment of frames, the local model of motion, and sums of moved frames."""
