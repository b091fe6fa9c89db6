"""What a refinement shows: every promised number and plot, from replayed iterations."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import refinement_replay as replays
from programs.fake_run import FakeRun
from vitreous.engine.refinement.settings import Searching, Settings, Solvent
from vitreous.engine.refinement.state import Assignments, State
from vitreous.jobs.class2d import Class2D
from vitreous.jobs.class3d import Class3D
from vitreous.jobs.declare import Options
from vitreous.jobs.initialmodel import InitialModel
from vitreous.jobs.refine3d import Refine3D
from vitreous.programs.pdf_log import LOG
from vitreous.programs.refine import history, plots
from vitreous.programs.refine.report import Report

SEARCH = Searching(healpix_order=1, shift_range_px=5, shift_step_px=2, point_group="D2")
AUTO = Settings(
    auto_refine=True,
    auto_sampling=True,
    split_halves=True,
    low_pass_A=60,
    firstiter_cc=True,
    searching=replace(SEARCH, ignore_angles=True, angles_from_resolution=True, auto_local_order=3),
    solvent=Solvent(diameter_A=200),
)
CLASS2D = Settings(
    ndim=2,
    n_classes=3,
    n_iterations=8,
    from_nothing=True,
    low_pass_A=80,
    searching=Searching(psi_step_deg=12, shift_range_px=5, shift_step_px=2),
    solvent=Solvent(diameter_A=200),
)
CLASS3D = Settings(
    n_classes=2,
    n_iterations=6,
    low_pass_A=40,
    firstiter_cc=True,
    searching=replace(
        SEARCH, healpix_order=2, shift_range_px=4, shift_step_px=1, allow_coarser=True
    ),
    solvent=Solvent(diameter_A=200),
)
JOBS: list[tuple[type[Options], str, Settings]] = [
    (Refine3D, "auto_ignore_local", AUTO),
    (Class2D, "class2d", CLASS2D),
    (Class3D, "class3d_coarser", CLASS3D),
    (InitialModel, "class3d_coarser", replace(CLASS3D, from_nothing=True)),
]
SECONDS = {"references": 0.5, "coarse": 2.0, "fine": 3.0, "sums": 1.0, "maximisation": 0.5}
N = 400


def _assignments(n_classes: int) -> Assignments:
    drawn = np.random.default_rng(0)
    tilt = np.rad2deg(np.arccos(drawn.uniform(-1, 1, N)))
    angles = np.stack([drawn.uniform(-180, 180, N), tilt, drawn.uniform(-180, 180, N)], 1)
    return replace(
        replays.assignments_of(N),
        angles_deg=angles,
        class_=drawn.integers(n_classes, size=N),
        pmax=drawn.uniform(0, 1, N),
        n_significant=drawn.integers(1, 20, N),
    )


class _CountingRun(FakeRun):
    """Counts how often each plot is handed in."""

    def plot(self, name: str, kind: str, title: str, data: Mapping[str, object]) -> None:
        super().plot(name, kind, title, data)
        self.written[name] += 1

    @functools.cached_property
    def written(self) -> Counter[str]:
        return Counter()


@functools.cache
def _states(name: str, settings: Settings) -> list[State]:
    run = replays.load(replays.GOLDEN / f"{name}.star")
    return [
        replace(step.ended, assignments=_assignments(settings.n_classes))
        for step in replays.replay(run, settings, N)
    ]


def _shown(tmp_path: Path, name: str, settings: Settings) -> FakeRun:
    run = FakeRun(tmp_path, "Refine3D/job001/")
    report = Report(run, settings)
    states = _states(name, settings)
    for state in states:
        report.add(state, N, SECONDS)
    report.finish(states[-1])
    return run


@pytest.mark.parametrize(("job", "name", "settings"), JOBS)
def test_everything_promised_is_handed_in(
    job: type[Options], name: str, settings: Settings, tmp_path: Path
) -> None:
    run = _shown(tmp_path, name, settings)
    promised = list(job().results())
    headlines = {one.name for one in promised if one.kind == "headline"}
    headlines -= {"agreement"}  # InitialModel measures it on the map that comes out
    drawn = {one.name for one in promised if one.kind == "plot"}
    assert headlines == set(run.headlines)
    assert drawn == set(run.plots)
    assert run.headlines["particles"] == N
    assert (run.path / LOG).read_bytes().startswith(b"%PDF")
    json.dumps(run.plots, allow_nan=False)


def test_the_numbers_are_those_of_the_iterations(tmp_path: Path) -> None:
    run = _shown(tmp_path, "auto_ignore_local", AUTO)
    replayed = replays.load(replays.GOLDEN / "auto_ignore_local.star")
    last = len(replayed) - 1
    assert run.headlines["resolution"] == pytest.approx(
        replayed.value(last, "CurrentResolution"), rel=1e-5
    )
    assert run.headlines["accuracy_rotation"] == pytest.approx(
        replayed.value(last, "OverallAccuracyRotations")
    )
    rows = run.plots["iterations"]["rows"]
    assert [row[0] for row in rows] == [*(str(n) for n in range(1, last)), f"{last} final"]
    assert rows[-1][3].endswith("local")
    assert rows[0][4] == ""  # not measured in a first iteration by correlation
    assert rows[0][-1] == pytest.approx(sum(SECONDS.values()))


def test_fsc_of_the_last_iteration_stands_out(tmp_path: Path) -> None:
    run = _shown(tmp_path, "auto_ignore_local", AUTO)
    series = run.plots["fsc"]["series"]
    assert len(series) <= 9
    assert [line.get("style") for line in series] == [None] + ["pale"] * (len(series) - 1)
    assert series[0]["name"] == "iteration 11"
    assert len(series[-1]["y"]) == 28 // 2 + 1  # as far as that iteration looked
    assert series[0]["x"][1] == pytest.approx(1 / 240)
    assert run.plots["fsc"]["thresholds"][0]["value"] == 0.143


def test_speed_counts_the_scores_of_the_search() -> None:
    state = _states("auto_ignore_local", AUTO)[1]
    one = history.measured(state, 1000, SECONDS)
    # Order 1 in D2: 576 / 4 orientations, or a few more at the border; 21 shifts; 12 px wide.
    pixels = round(np.pi * (one.coarse_size_px / 2) ** 2 / 2)
    flop = 1000 * 576 / 4 * 21 * pixels * 4
    assert one.gflop["coarse"] == pytest.approx(flop / 1e9, rel=0.35)
    times = plots.times([one])
    rates = times["panels"][2]["series"]
    assert [line["name"] for line in rates] == ["coarse", "fine"]
    assert rates[0]["y"] == [pytest.approx(one.gflop["coarse"] / SECONDS["coarse"])]
    assert times["panels"][1]["series"][0]["y"] == [pytest.approx(1000 / 7)]


def test_even_directions_are_even_and_a_preferred_one_is_seen() -> None:
    drawn = np.random.default_rng(1)
    n = 150_000
    tilt = np.rad2deg(np.arccos(drawn.uniform(-1, 1, n)))
    angles = np.stack([drawn.uniform(-180, 180, n), tilt, np.zeros(n)], 1)
    even = replace(replays.assignments_of(n), angles_deg=angles)
    image = np.array(plots.directions(even, "D2")["image"])
    assert image.mean() == pytest.approx(1, abs=1e-3)
    assert image.std() < 0.1
    top = replace(replays.assignments_of(n), angles_deg=np.tile([32.0, 62.0, 0.0], (n, 1)))
    image = np.array(plots.directions(top, "C1")["image"])
    row, column = np.unravel_index(image.argmax(), image.shape)
    assert (row, column) == (int((1 + np.cos(np.deg2rad(62))) / 2 * 36), int(212 / 360 * 72))
    assert (image > 0).sum() == 1
    assert (np.array(plots.directions(top, "D2")["image"]) > 0).sum() == 4


def test_many_classes_are_cut_and_said_so() -> None:
    state = _states("class2d", CLASS2D)[-1]
    one = history.measured(state, N, SECONDS)
    many = replace(one, particles=tuple(range(100)), class_weight=tuple([0.01] * 100))
    bars = plots.members([many])
    assert bars["series"][0]["labels"][:2] == ["100", "99"]
    assert len(bars["series"][0]["values"]) == 40
    assert bars["note"] == "The 40 largest of 100 classes."


def test_a_job_that_goes_on_keeps_what_came_before(tmp_path: Path) -> None:
    run = _shown(tmp_path, "class2d", CLASS2D)
    again = Report(replace(run, is_continue=True), CLASS2D, start=5)
    assert [one.number for one in again.iterations] == [1, 2, 3, 4, 5]
    again.add(_states("class2d", CLASS2D)[5], N, SECONDS)
    assert [one.number for one in again.iterations] == [1, 2, 3, 4, 5, 6]
    assert again.iterations == tuple(history.read(run.path, 6))
    assert Report(run, CLASS2D).iterations == ()


@pytest.mark.parametrize("text", ["", "{", "[1, {}]", '{"number": 1}', "null", "3"])
def test_a_broken_history_counts_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / history.HISTORY).write_text(text)
    assert history.read(tmp_path, 10) == []


def test_a_gap_in_the_signal_and_vague_poses_are_told(tmp_path: Path) -> None:
    state = _states("auto_ignore_local", AUTO)[-1]
    ssnr = torch.zeros_like(state.models[0].ssnr)
    ssnr[0, :9], ssnr[0, 14] = 5.0, 2.0
    vague = replace(state.schedule, accuracy_angle_deg=12.34)
    models = (replace(state.models[0], ssnr=ssnr),)
    run = FakeRun(tmp_path, "Refine3D/job001/")
    Report(run, AUTO).add(replace(state, schedule=vague, models=models), N, SECONDS)
    assert len(run.warnings) == 2
    assert "comes back at higher resolution" in run.told
    assert "[iteration 11]" in run.told
    assert "known to 12.3° only" in run.told
    clear = FakeRun(tmp_path, "Refine3D/job002/")
    Report(clear, AUTO).add(state, N, SECONDS)
    assert clear.warnings == []


def test_short_iterations_are_not_all_drawn(tmp_path: Path) -> None:
    """Ten plots written after each of a thousand mini-batches would take longer than they do."""
    run = _CountingRun(tmp_path, "Class2D/job001/")
    report = Report(run, CLASS2D)
    states = _states("class2d", CLASS2D)
    for state in states:
        report.add(state, N, SECONDS)
    assert run.written["iterations"] == 1
    report.finish(states[-1])
    assert run.written["iterations"] == 2
    assert len(run.plots["iterations"]["rows"]) == len(states)


def test_other_ranks_show_nothing(tmp_path: Path) -> None:
    run = FakeRun(tmp_path, "Class2D/job001/", rank=1, n_ranks=2)
    report = Report(run, CLASS2D)
    state = _states("class2d", CLASS2D)[0]
    report.add(state, N, SECONDS)
    report.finish(state)
    assert not run.plots
    assert not run.headlines
    assert list(run.path.iterdir()) == []


def test_empty_classes_and_no_resolution_are_shown(tmp_path: Path) -> None:
    state = _states("class2d", CLASS2D)[0]
    alone = replace(state.assignments, class_=np.zeros(N, np.int64))
    model = replace(state.models[0], class_weight=torch.tensor([1.0, 0, 0]).double())
    schedule = replace(state.schedule, resolution_per_A=0.0)
    state = replace(state, schedule=schedule, models=(model,), assignments=alone)
    run = FakeRun(tmp_path, "Class2D/job001/")
    report = Report(run, CLASS2D)
    report.add(state, 0, {})
    report.finish(state)
    assert run.headlines["classes"] == 1
    assert (run.path / LOG).exists()
