"""Tiny programs that tests of `vitreous.running` start as jobs."""

import os
import signal
import sys
import time
import warnings

from vitreous.errors import InputError


def counts(options, run):
    """Do ten units, tell everything that a program can tell."""
    del options
    with run.phase("Counting sheep", 10, "sheep") as progress:
        for number in range(10):
            run.check_abort()
            time.sleep(0.02)
            progress.work(flop=1e9, n_bytes=1e6)
            progress.advance()
            if number % 3 == 0:
                run.warn("is black, which costs nothing", f"sheep {number}")
    run.headline("flock", 10, "sheep", "Size of the flock")
    run.plot("wool", "line", "Wool", {"axes": [{"label": "day"}], "y": [1.0, float("nan")]})
    run.add_output(f"{run.folder}flock.star", "ParticleGroupMetadata.star.relion")
    sys.stderr.write("a library talks\n")
    warnings.warn("a module warns", UserWarning, stacklevel=1)


def works_for_long(options, run):
    """Look for the abort marker between short units, for a minute."""
    del options
    with run.phase("Waiting", 6000, "ticks") as progress:
        for _ in range(6000):
            run.check_abort()
            time.sleep(0.01)
            progress.advance()


def never_looks(options, run):
    """Compute without ever looking for the abort marker."""
    del options
    with run.phase("Waiting", 0, "ticks"):
        (run.path / "is_busy").touch()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            sum(range(1000))


def stubborn(options, run):
    """Refuse every signal that can be refused."""
    del options
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (run.path / "is_busy").touch()
    time.sleep(60)


def fails(options, run):
    """Fail as a program fails on bad input."""
    del options
    run.warn("something was odd")
    raise InputError("Movies/a.mrc: there are 0 frames, and at least 2 are needed. Leave it out.")


def is_wrong(options, run):
    """Fail as a program with a mistake fails."""
    del options, run
    {}["wool"]


def needs_a_package(options, run):
    """Fail as a program does in an installation that is not whole."""
    del options, run
    import sheep.wool  # noqa: F401 - it is not there


def is_killed(options, run):
    """Die without a word."""
    del options, run
    os.kill(os.getpid(), signal.SIGKILL)


def crashes(options, run):
    """Die in native code."""
    del options, run
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGSEGV)


def ranks(options, run):
    """Leave what each rank knows of itself."""
    del options
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "VITREOUS_RENDEZVOUS", "OMP_NUM_THREADS")
    told = " ".join(os.environ.get(name, "-") for name in names)
    (run.path / f"rank{run.rank}.txt").write_text(f"{run.n_ranks} {run.n_threads} {told}")
    run.warn("each rank warns", f"rank {run.rank}")


def one_rank_dies(options, run):
    """Lose the second rank while the others wait for it."""
    del options
    if run.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    while True:
        run.check_abort()
        time.sleep(0.01)


def one_rank_fails(options, run):
    """Fail in the second rank while the others wait for it."""
    del options
    if run.rank == 1:
        raise InputError("this half has no particles")
    while True:
        run.check_abort()
        time.sleep(0.01)


def fills_the_disk(options, run):
    """Write until there is no room left, as a job with too many particles does."""
    del options
    with (run.path / "big.mrcs").open("wb") as stream:
        while True:
            stream.write(bytes(65536))
