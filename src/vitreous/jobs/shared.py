"""Tabs that several job types share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from types import MappingProxyType

from vitreous.jobs.declare import option, tab

SAMPLING = (
    "30 degrees",
    "15 degrees",
    "7.5 degrees",
    "3.7 degrees",
    "1.8 degrees",
    "0.9 degrees",
    "0.5 degrees",
    "0.2 degrees",
    "0.1 degrees",
)


def healpix_order(sampling: str) -> int:
    """Return the HEALPix order of an angular step as the form offers it.

    The first step, 30 degrees, is order 1 seen after one oversampling.
    """
    return SAMPLING.index(sampling) + 1


@tab("Running")
class Running:
    """Ranks, threads and queue: on every job.

    Parameters
    ----------
    queue_extras
        Texts of the fields that a site adds to the queue form, by ``qsub_extraN``.
    """

    n_ranks: int = option(
        default=1,
        key="nr_mpi",
        label="Number of ranks",
        relion_label="Number of MPI procs:",
        help="Processes that share the work. One process uses all its threads and all GPUs that "
        "it is given, so more than one helps mainly across several nodes of a cluster.",
        low=1,
        high=64,
        step=1,
        at_least=1,
        on_continue="free",
        default_env="RELION_QSUB_NRMPI",
        high_env="RELION_MPI_MAX",
    )
    n_threads: int = option(
        default=1,
        key="nr_threads",
        label="Number of threads",
        relion_label="Number of threads:",
        help="Processor cores that each rank uses. On one computer without a queue the number "
        "of its physical cores is a good choice.",
        low=1,
        high=16,
        step=1,
        at_least=1,
        on_continue="free",
        default_env="RELION_QSUB_NRTHREADS",
        high_env="RELION_THREAD_MAX",
    )
    use_queue: bool = option(
        default=False,
        key="do_queue",
        label="Submit to the queue",
        relion_label="Submit to queue?",
        help="Send the job to the cluster's scheduler with a submission script instead of "
        "running it on this computer.",
        on_continue="free",
        default_env="RELION_QUEUE_USE",
    )
    queue_name: str = option(
        default="openmpi",
        key="queuename",
        label="Queue",
        relion_label="Queue name: ",
        help="Queue or partition to submit to. It replaces XXXqueueXXX in the script.",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QUEUE_NAME",
    )
    submit_command: str = option(
        default="sbatch",
        key="qsub",
        label="Submit command",
        relion_label="Queue submit command:",
        help="Command that takes the submission script: sbatch for Slurm, qsub for others.",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QSUB_COMMAND",
    )
    submit_template: str = option(
        default="",
        key="qsubscript",
        label="Submission script template",
        relion_label="Standard submission script:",
        help="Script with placeholders such as XXXcommandXXX, which is filled in and submitted. "
        "Ask who runs the cluster, or set RELION_QSUB_TEMPLATE once for everybody.",
        pattern="Script Files (*.{csh,sh,bash,script})",
        directory=".",
        when="use_queue",
        on_continue="free",
        default_env="RELION_QSUB_TEMPLATE",
    )
    min_cores_per_node: int = option(
        default=1,
        key="min_dedicated",
        label="Cores per node",
        relion_label="Minimum dedicated cores per node:",
        help="Cores that the scheduler hands out together. The number of nodes asked for is "
        "ranks times threads divided by this, rounded up.",
        low=1,
        high=64,
        step=1,
        at_least=1,
        when="use_queue",
        on_continue="free",
        default_env="RELION_MINIMUM_DEDICATED",
    )
    other_arguments: str = option(
        default="",
        key="other_args",
        label="Additional arguments",
        relion_label="Additional arguments:",
        help="Text added to the end of the command, for what the form does not offer. "
        "Usually empty.",
        on_continue="free",
    )
    queue_extras: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
