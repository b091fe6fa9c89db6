"""STAR rows and image stacks to batches of tensors, and results back to rows."""
