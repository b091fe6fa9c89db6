"""How a refinement uses the machine; nothing here changes its numbers (refinement.md 16)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """Processes, devices and disks.

    Parameters
    ----------
    n_threads, n_ranks
        Threads of each process; processes.
    n_pooled
        Particles that a thread asks of the disk at a time; never affects results.
    use_gpu, gpu_ids
        Whether graphics cards compute, and which, in RELION's syntax (``0,1:2,3``).
    scratch_folder
        Where particles are copied to first; empty for nowhere.
    keep_scratch, reuse_scratch
        Leave the copy at the end; take the one that an earlier run left.
    keep_free_MiB
        What stays free on the scratch disk.
    preread
        Keep all images in memory.
    parallel_reads
        Every process reads its own images; otherwise one reads for all.
    combine_through_disk
        Processes add their sums through files.
    free_gpu_memory_MiB
        What stays free on every graphics card.
    """

    n_threads: int = 1
    n_ranks: int = 1
    n_pooled: int = 3
    use_gpu: bool = False
    gpu_ids: str = ""
    scratch_folder: str = ""
    keep_scratch: bool = False
    reuse_scratch: bool = False
    keep_free_MiB: float = 10240.0
    preread: bool = False
    parallel_reads: bool = True
    combine_through_disk: bool = False
    free_gpu_memory_MiB: float = 0.0
