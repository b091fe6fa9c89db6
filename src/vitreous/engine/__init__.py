"""Pure functions on tensors: the method itself."""
