"""An iteration written and read again: with every digit, without the state file, by halves."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from dataset.refinement.conftest import differences, fabricate
from vitreous.dataset.refinement import (
    last_iteration,
    read_iteration,
    write_final,
    write_iteration,
)
from vitreous.engine.refinement.settings import Algorithm
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import read_star, read_volume, write_star

KINDS = {
    "maps": {},
    "averages": {"ndim": 2, "n_classes": 3},
    "halves": {"n_classes": 1, "n_models": 2},
    "moments": {"ndim": 2, "moments": True},
    "moments of maps": {"moments": True, "n_classes": 1},
    "double precision": {"dtype": torch.float64, "moments": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_form = pytest.mark.parametrize("form", ["5.0", "4.0", "3.1"])


def written(folder, example, form="5.0", root="Job/job007/run"):
    (folder / root).parent.mkdir(parents=True, exist_ok=True)
    return write_iteration(
        root, example.state, example.settings, example.particles, folder=folder, form=form
    )


@each_kind
@each_form
def test_every_bit_comes_back(kind, form, tmp_path):
    example = fabricate(tmp_path, **KINDS[kind])
    found = read_iteration(written(tmp_path, example, form)[-1], tmp_path)
    assert found.exact
    assert found.notices == ()
    assert differences(found.state, example.state) == []
    assert found.settings == example.settings
    assert found.root == "Job/job007/run"


@each_kind
@each_form
def test_without_the_state_file_the_star_files_say_it_all(kind, form, tmp_path):
    example = fabricate(tmp_path, **KINDS[kind])
    files = written(tmp_path, example, form)
    next(tmp_path.rglob("*_state.npz")).unlink()
    found = read_iteration(files[-1], tmp_path)
    assert not found.exact
    assert differences(found.state, example.state, close=1e-6) == []
    if form != "3.1" or example.settings.algorithm is Algorithm.EM:
        assert differences(found.settings, example.settings, close=1e-5) == []


@each_kind
def test_rows_keep_their_order_and_foreign_columns(kind, tmp_path):
    example = fabricate(tmp_path, **KINDS[kind])
    files = written(tmp_path, example)
    table = read_star(tmp_path / "Job/job007/run_it003_data.star")["particles"]
    before = example.particles.table
    for label in ("rlnImageName", "somebodysColumn", "rlnDefocusU", "rlnMicrographName"):
        assert (table[label] == before[label]).all()
    assert ("rlnRandomSubset" in table) == (kind == "halves")
    assert files[-1] == "Job/job007/run_it003_optimiser.star"
    assert all((tmp_path / name).is_file() for name in files)


def test_names_of_halves(halves, tmp_path):
    written(tmp_path, halves)
    names = {path.name for path in (tmp_path / "Job/job007").iterdir()}
    assert names == {
        "run_it003_half1_class001.mrc", "run_it003_half2_class001.mrc",
        "run_it003_half1_model.star", "run_it003_half2_model.star",
        "run_it003_half1_class001_angdist.bild", "run_it003_half2_class001_angdist.bild",
        "run_it003_data.star", "run_it003_sampling.star", "run_it003_optimiser.star",
        "run_it003_state.npz",
    }  # fmt: skip


def test_names_of_averages_and_their_moments(tmp_path):
    example = fabricate(tmp_path, ndim=2, moments=True)
    (tmp_path / "Job/job007").mkdir(parents=True)
    unmasked = torch.ones(2, 16, 16)
    write_iteration("Job/job007/run", example.state, example.settings, example.particles,
                    folder=tmp_path, unmasked=unmasked)  # fmt: skip
    names = {path.name for path in (tmp_path / "Job/job007").glob("*.mrcs")}
    assert names == {
        "run_it003_classes.mrcs", "run_it003_1moment.mrcs", "run_it003_2moment.mrcs",
        "run_unmasked_classes.mrcs",
    }  # fmt: skip
    model = read_star(tmp_path / "Job/job007/run_it003_model.star")
    assert model["model_classes"]["rlnReferenceImage"][1] == (
        "000002@Job/job007/run_it003_classes.mrcs"
    )
    assert not any(name.startswith("model_pdf_orient") for name in model)


@pytest.mark.parametrize(
    ("edited", "named"),
    [
        ("run_it003_data.star", "run_it003_data.star"),
        ("run_it003_model.star", "run_it003_model.star"),
        ("run_it003_optimiser.star", "run_it003_optimiser.star"),
        ("run_it003_class002.mrc", "run_it003_class002.mrc"),
    ],
)
def test_an_edited_file_is_named_and_believed(edited, named, state3d, tmp_path):
    files = written(tmp_path, state3d)
    path = tmp_path / "Job/job007" / edited
    if edited.endswith(".mrc"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_text(path.read_text() + "\n")
    found = read_iteration(files[-1], tmp_path)
    assert not found.exact
    assert len(found.notices) == 1
    assert f"{named} was changed since" in found.notices[0]
    assert differences(found.state.assignments, state3d.state.assignments, close=1e-9) == []


def test_an_edit_of_a_pose_is_used(state3d, tmp_path):
    files = written(tmp_path, state3d)
    path = tmp_path / "Job/job007/run_it003_data.star"
    star = read_star(path)
    table = star["particles"]
    write_star(path, star.with_table(table.with_columns({"rlnAngleRot": table["rlnAngleRot"] + 1})))
    found = read_iteration(files[-1], tmp_path)
    moved = found.state.assignments.angles_deg - state3d.state.assignments.angles_deg
    assert np.allclose(moved, [1, 0, 0])


def test_what_an_older_state_file_did_not_know_keeps_its_default(state3d, tmp_path):
    files = written(tmp_path, state3d)
    path = next(tmp_path.rglob("*_state.npz"))
    with np.load(path) as archive:
        arrays = dict(archive)
    about = json.loads(arrays["about"].tobytes())
    del about["schedule"]["mean_pmax"], about["models"][0]["mean_pmax"]
    del about["settings"]["searching"]["max_significant"]
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(path, **arrays)
    found = read_iteration(files[-1], tmp_path)
    assert found.exact
    lost = differences(found.state, state3d.state)
    assert lost == [".schedule.mean_pmax", ".models.0.mean_pmax"]
    del arrays["model0.tau2"]
    np.savez(path, **arrays)
    assert not read_iteration(files[-1], tmp_path).exact


def test_a_damaged_state_file_is_passed_over(state3d, tmp_path):
    files = written(tmp_path, state3d)
    path = next(tmp_path.rglob("*_state.npz"))
    path.write_bytes(path.read_bytes()[:2000])
    found = read_iteration(files[-1], tmp_path)
    assert not found.exact
    assert "cannot be read" in found.notices[0]


def test_nothing_that_is_half_written_is_taken_for_an_iteration(state3d, tmp_path, monkeypatch):
    written(tmp_path, state3d)
    later = replace(state3d, state=replace(
        state3d.state, schedule=replace(state3d.state.schedule, iteration=4)))  # fmt: skip
    real, count = os.replace, 0

    def dies(source, target):
        nonlocal count
        count += 1
        if count > 4:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr("pathlib.Path.replace", dies)
    for example in (later, state3d):
        count = 0
        with pytest.raises(OSError, match="No space"):
            written(tmp_path, example)
        assert last_iteration("Job/job007/run", tmp_path) == (
            "Job/job007/run_it003_optimiser.star" if example is later else None
        )


def test_what_a_killed_run_had_half_written_is_removed(state3d, tmp_path):
    written(tmp_path, state3d)
    half_written = tmp_path / "Job/job007/.run_it004_class001.mrc.77-77.tmp"
    half_written.touch()
    others = tmp_path / "Job/job007/.progress.tmp"
    others.touch()
    written(tmp_path, state3d, root="Job/job007/run_ct3")
    assert not half_written.exists()
    assert others.exists()


def test_the_last_iteration_of_a_job_that_went_on(state3d, tmp_path):
    written(tmp_path, state3d)
    assert last_iteration("Job/job007/run", tmp_path).endswith("run_it003_optimiser.star")
    later = replace(state3d.state, schedule=replace(state3d.state.schedule, iteration=12))
    written(tmp_path, replace(state3d, state=later), root="Job/job007/run_ct3")
    newest = last_iteration("Job/job007/run", tmp_path)
    assert newest == "Job/job007/run_ct3_it012_optimiser.star"
    assert last_iteration("Job/job008/run", tmp_path) is None


def test_final_files(halves, tmp_path):
    (tmp_path / "Job/job007").mkdir(parents=True)
    joined = replace(halves.state, models=halves.state.models[:1])
    maps = tuple(torch.full((16, 16, 16), float(half)) for half in (1, 2))
    files = write_final("Job/job007/run", joined, halves.settings, halves.particles,
                        unfiltered=maps, folder=tmp_path)  # fmt: skip
    assert {name.removeprefix("Job/job007/") for name in files} == {
        "run_class001.mrc", "run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc",
        "run_model.star", "run_data.star", "run_sampling.star", "run_optimiser.star",
        "run_class001_angdist.bild", "run_state.npz",
    }  # fmt: skip
    assert read_volume(tmp_path / "Job/job007/run_half2_class001_unfil.mrc").data.mean() == 2
    optimiser = read_star(tmp_path / "Job/job007/run_optimiser.star")["optimiser_general"]
    assert optimiser.value("rlnCurrentIteration") == -1
    assert optimiser.value("rlnHasConverged") is True
    assert optimiser.value("rlnDoSplitRandomHalves") is False
    assert "rlnModelStarFile2" not in optimiser
    data = read_star(tmp_path / "Job/job007/run_data.star")["particles"]
    assert set(data["rlnRandomSubset"]) == {1, 2}


def test_a_missing_optimiser_is_told_with_the_remedy(tmp_path):
    with pytest.raises(MissingFileError, match="cleaning a job keeps only the last"):
        read_iteration("Job/job007/run_it009_optimiser.star", tmp_path)


@pytest.mark.parametrize("lost", ["_data.star", "_model.star", "_sampling.star", "_class001.mrc"])
def test_what_an_optimiser_names_and_is_gone_is_told(lost, state3d, tmp_path):
    files = written(tmp_path, state3d)
    (tmp_path / f"Job/job007/run_it003{lost}").unlink()
    with pytest.raises(MissingFileError, match=f"run_it003{lost}"):
        read_iteration(files[-1], tmp_path)


def test_a_file_that_is_no_optimiser(state3d, tmp_path):
    written(tmp_path, state3d)
    with pytest.raises(FormatError, match="not an optimiser file"):
        read_iteration("Job/job007/run_it003_model.star", tmp_path)
