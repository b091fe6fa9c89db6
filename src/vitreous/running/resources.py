"""What a job asks of the machine: ranks, threads, GPUs, a queue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vitreous.jobs.declare import Options
from vitreous.jobs.evaluate import to_text
from vitreous.jobs.job_type import extras_of


@dataclass(frozen=True)
class Resources:
    """What the running tab of a job says.

    Parameters
    ----------
    ranks, threads
        Processes, and threads for each.
    devices
        GPUs as the user wrote them: ``0:1``, empty for all or none.
    use_queue
        Whether the job goes to a queue.
    queue_name, submit_command, template
        Queue, command that takes a script, and the script with placeholders.
    dedicated
        Cores that a node gives together.
    extras
        The site's own fields by number: ``{1: "24:00:00"}``.
    """

    ranks: int
    threads: int
    devices: str
    use_queue: bool
    queue_name: str
    submit_command: str
    template: str
    dedicated: int
    extras: Mapping[int, str]

    @property
    def cores(self) -> int:
        """Cores of all ranks together."""
        return self.ranks * self.threads

    @property
    def nodes(self) -> int:
        """Nodes that hold them."""
        return math.ceil(self.cores / self.dedicated)


def of(options: Options) -> Resources:
    """Read the running tab; a job type without a field has one rank, one thread, no GPU."""
    text = to_text(options)
    uses_gpu = text.get("use_gpu", "No") == "Yes"
    extras = {int(key.removeprefix("qsub_extra")): one for key, one in extras_of(options).items()}
    return Resources(
        ranks=max(1, int(text.get("nr_mpi", "1"))),
        threads=max(1, int(text.get("nr_threads", "1"))),
        devices=text.get("gpu_ids", "") if uses_gpu else "",
        use_queue=text.get("do_queue", "No") == "Yes",
        queue_name=text.get("queuename", ""),
        submit_command=text.get("qsub", ""),
        template=text.get("qsubscript", ""),
        dedicated=max(1, int(text.get("min_dedicated", "1"))),
        extras=extras,
    )
