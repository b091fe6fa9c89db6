"""What a job computes: one file a job type, each with one `run()`."""

import os

# Threads of torch that wait for each other must not spin: on a shared machine that slows every
# program down several times. Read when torch is loaded, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
