"""Run a refinement from its options to its last file."""

from __future__ import annotations

import os
from contextlib import ExitStack

import torch

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import Images, Machine, open_images
from vitreous.dataset.refinement.job_settings import RefineOptions
from vitreous.distributed import devices
from vitreous.distributed.team import Team
from vitreous.engine.refinement import schedule
from vitreous.engine.refinement.accuracy import UNKNOWN
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.state import State
from vitreous.jobs.context import Run
from vitreous.programs.refine import memory
from vitreous.programs.refine.crew import Crew
from vitreous.programs.refine.loop import Done, Loop
from vitreous.programs.refine.prior import prior_of
from vitreous.programs.refine.report import Report
from vitreous.programs.refine.start import Refinement, begin


def refine(options: RefineOptions, run: Run) -> tuple[Refinement, State] | None:
    """Run all iterations; return the refinement and where it ended, on the first rank only."""
    torch.set_num_threads(max(1, run.n_threads))
    with Team(run.rank, run.n_ranks, on_wait=run.check_abort) as team, ExitStack() as until:
        if team.leads:
            return _lead(options, run, team, until)
        images = open_images(until, team, run)
        Crew(team, images).follow(run.check_abort)
    return None


def _lead(
    options: RefineOptions, run: Run, team: Team, until: ExitStack
) -> tuple[Refinement, State]:
    """Begin, decide, write and tell, as the first rank; compute with the others."""
    opened: list[Images] = []

    def images(particles: Particles, machine: Machine) -> Data:
        opened.append(open_images(until, team, run, particles, machine))
        return opened[0].data

    job = begin(options, run, images)
    memory.checked(job.settings, job.state.models[0].box_px, run)
    _tell_of_cards(job.machine, run)
    crew = Crew(team, opened[0], job.machine)
    loop = Loop(job, run, crew, regularise=prior_of(job, run))
    loop.begin()
    state = job.state
    report = Report(run, job.settings, state.schedule.iteration)
    if schedule.is_finished(state, job.settings):
        run.warn(
            f"Nothing is left to do after iteration {state.schedule.iteration}; give a larger "
            "number of iterations to go on"
        )
    while not schedule.is_finished(state, job.settings):
        done = loop.iterate(state)
        state = done.state
        run.say(line(done))
        for class_ in done.outcome.at_limit:
            run.warn(
                "Twist or rise was found at the border of its search: widen the range",
                f"class {class_ + 1}",
            )
        report.add(state, sum(len(part) for part in done.rows), done.timing.seconds)
    crew.dismiss()
    report.finish(state)
    return job, state


def _tell_of_cards(machine: Machine, run: Run) -> None:
    """Refuse graphics cards that are not there, and tell of those that will rest."""
    if not machine.use_gpu:
        return
    found = devices.of_rank(machine.gpu_ids, run.rank, run.n_ranks, environ=os.environ)
    run.say(f"Poses are scored and images summed on {found[0]}")
    if len(found) > 1:
        run.warn(
            f"Each rank refines on one graphics card: of the {len(found)} that the first may use "
            "the others rest. Ask for as many ranks (nr_mpi) as there are cards"
        )


def line(done: Done) -> str:
    """Say in one line what an iteration reached."""
    now, sampling, model = done.state.schedule, done.state.sampling, done.state.models[0]
    resolution = 1 / now.resolution_per_A if now.resolution_per_A > 0 else float("inf")
    seconds = " ".join(f"{name} {s:.1f}" for name, s in done.timing.seconds.items())
    step = sampling.psi_step_deg if sampling.healpix_order < 0 else 60 / 2**sampling.healpix_order
    accuracy = f"{now.accuracy_angle_deg:.3g}° {now.accuracy_shift_A:.3g} Å"
    if now.accuracy_angle_deg >= UNKNOWN:
        accuracy = "not measured yet"
    return (
        f"Iteration {now.iteration}: {resolution:.2f} Å, image size {now.current_size_px} px "
        f"(first pass {now.coarse_size_px}), coarse step {step:g}°"
        f"{' local' if sampling.is_local else ''}, shifts {sampling.shift_range_A:.3g}/"
        f"{sampling.shift_step_A:.3g} Å, accuracy {accuracy}, changes {done.moved.angle_deg:.3g}° "
        f"{done.moved.shift_A:.3g} Å, Pmax {model.mean_pmax:.3f}; seconds: {seconds}"
    )
