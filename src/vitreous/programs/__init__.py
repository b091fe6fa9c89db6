"""What a job computes: one file a job type, each with one `run()`."""

import os

# Threads of torch that wait for each other must not spin: on a shared machine that slows every
# program down several times. Read when torch is loaded, so it has to be said before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Large tensors come in pages of 2 MiB where the system allows it: a transform of a 4k frame spends
# a third of its time on pages of 4 KiB. Read by torch at each allocation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
