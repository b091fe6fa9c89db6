"""What a job computes: one file a job type, each with one `run()`."""
