"""Which rank a process is, by the environment that each launcher sets."""

import pytest

from vitreous.running import ranks
from vitreous.running.ranks import Ranks

# As seen in a step of `srun -n 2`, in the batch script around it (Slurm 22.05), and under
# Open MPI 4.1 and MPICH's hydra.
SRUN = {
    "SLURM_PROCID": "1",
    "SLURM_NTASKS": "4",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_ID": "31",
}
BATCH = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "31"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
}
HYDRA = {"PMI_RANK": "0", "PMI_SIZE": "2", "MPI_LOCALRANKID": "0"}
TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Ranks()),
        (SRUN, Ranks(1, 2, 1, "srun")),
        (BATCH, Ranks()),
        (OPEN_MPI, Ranks(3, 4, 1, "mpirun")),
        (BATCH | OPEN_MPI, Ranks(3, 4, 1, "mpirun")),
        (HYDRA, Ranks(0, 2, 0, "mpirun")),
        (TORCHRUN, Ranks(5, 8, 1, "torchrun")),
    ],
)
def test_each_launcher_is_understood(environ, expected):
    assert ranks.from_environment(environ) == expected


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="RANK=8 and WORLD_SIZE=8"):
        ranks.from_environment({"RANK": "8", "WORLD_SIZE": "8"})


def test_a_child_is_told_what_it_is():
    told = ranks.to_environment(Ranks(2, 3, 2, "vitreous"), "/job/.rendezvous_1")
    assert ranks.from_environment(told) == Ranks(2, 3, 2, "torchrun")
    assert told["VITREOUS_RENDEZVOUS"] == "/job/.rendezvous_1"


def test_a_new_job_does_not_inherit_the_rank_of_who_starts_it():
    left = ranks.without_ranks({**SRUN, **OPEN_MPI, **TORCHRUN, "PATH": "/bin"})
    assert ranks.from_environment(left) == Ranks()
    assert left["PATH"] == "/bin"


def test_ranks_of_one_start_meet_at_one_place_and_others_elsewhere():
    assert ranks.meeting_name(SRUN) == ranks.meeting_name(SRUN | {"SLURM_PROCID": "0"})
    assert ranks.meeting_name(SRUN) != ranks.meeting_name(SRUN | {"SLURM_STEP_ID": "1"})
    assert ranks.meeting_name({"PMIX_NAMESPACE": "prterun-7@1"}) == "prterun_7_1"
    assert ranks.meeting_name({}).isdecimal()
