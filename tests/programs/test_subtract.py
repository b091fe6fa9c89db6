"""Subtraction: one part of a known molecule is taken off, the other is left."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import requirements
import vitreous
from dataset.refinement.conftest import fabricate
from programs.fake_run import FakeRun
from programs.subtract_project import BOX, MASK, OPTIMISER, PIXEL_A, Wanted, images_of, make
from vitreous.dataset.refinement import write_iteration
from vitreous.engine import fourier
from vitreous.engine.boxing import new_box
from vitreous.errors import ComputeError, FormatError, InputError, OptionError
from vitreous.io import (
    ImageRef,
    parse_ref,
    read_header,
    read_images,
    read_star,
    read_volume,
    write_star,
    write_volume,
)
from vitreous.jobs.context import Aborted
from vitreous.jobs.shared import Running
from vitreous.jobs.subtract import Subtract
from vitreous.programs import subtract, subtract_work

JOB = "Subtract/job002/"
PLAIN = {"center_on_mask": False, "write_float16": False}
JOINT = JOB + "particles_subtracted.star"


def run(folder, *, mask=MASK, optimiser=OPTIMISER, arguments="", job=JOB, **options):
    """Subtract in a folder; return the run."""
    told = FakeRun(folder, job)
    given = Subtract(
        optimiser=optimiser,
        mask=mask,
        running=Running(other_arguments=arguments),
        **{**PLAIN, **options},
    )
    subtract.run(given, told)
    return told


def images(folder, star=JOINT):
    """Return the images of a particle file in the order of its rows."""
    names = [parse_ref(name) for name in read_star(folder / star)["particles"]["rlnImageName"]]
    return torch.from_numpy(
        read_images([ImageRef(str(folder / ref.path), ref.index0) for ref in names])
    )


def error(found, true):
    """Return the root mean square difference over the deviation of the truth."""
    return float(((found - true) ** 2).mean().sqrt() / true.std())


KINDS = {
    "plain": Wanted(),
    "unscaled": Wanted(correct_norm=False, correct_scale=False),
    "aberrations": Wanted(beam_tilt_mrad=1.5),
    "premultiplied": Wanted(premultiplied=True),
    "flipped": Wanted(flip_phases=True),
    "larger images": Wanted(image_box_px=BOX + 12),
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_part_is_left(kind, tmp_path):
    wanted = KINDS[kind]
    known = make(tmp_path, wanted)
    told = run(tmp_path)
    left = images(tmp_path)
    before = known.images
    if not wanted.correct_norm:  # then nothing is known of the grey scale of images
        norm = torch.from_numpy(np.array(known.particles.table["rlnNormCorrection"])).float()
        left = left - before + before / (norm / norm.mean())[:, None, None]
    assert error(left, known.kept_images) < 0.03
    flat = torch.stack([left.flatten(), known.kept_images.flatten()])
    assert float(torch.corrcoef(flat)[0, 1]) > 0.999
    assert told.headlines["particles"] == len(left)
    assert told.warnings == []
    assert len(told.plots["examples"]["panels"]) == 6


def test_the_detector_is_part_of_the_model(tmp_path):
    known = make(tmp_path, Wanted())
    frequency = np.linspace(0, 0.5, 11)
    mtf = vitreous.io.Table.from_columns(
        "", {"rlnResolutionInversePixel": frequency, "rlnMtfValue": 1 - frequency}
    )
    write_star(tmp_path / "mtf.star", [mtf])
    data = tmp_path / OPTIMISER.replace("optimiser", "data")
    star = read_star(data)
    optics = star["optics"].with_columns({"rlnMtfFileName": ["mtf.star"] * 2})
    write_star(data, [optics, star["particles"]], version=30001)
    # What goes without a mask is the whole model, as the detector would show it.
    run(tmp_path, mask="")
    whole = images(tmp_path)
    norm = torch.from_numpy(np.array(known.particles.table["rlnNormCorrection"])).float()
    seen = fourier.forward(known.images / (norm / norm.mean())[:, None, None], 2)
    removed = seen - fourier.forward(whole, 2)
    shells = fourier.shell_index(BOX, 2)
    for shell in (4, 8):
        ring = shells == shell
        ratio = (removed[:, ring] * seen[:, ring].conj()).real.sum() / (
            seen[:, ring].abs() ** 2
        ).sum()
        assert float(ratio) == pytest.approx(1 - shell / BOX, abs=0.03)


def test_everything_but_noise_goes_without_a_mask(tmp_path):
    make(tmp_path, Wanted(noise=0.7, n=24))
    told = run(tmp_path, mask="")
    assert float(images(tmp_path).std()) == pytest.approx(0.7, rel=0.02)
    assert told.headlines["strength"] == pytest.approx(1, abs=0.05)


def test_nothing_goes_with_a_mask_of_all(tmp_path):
    known = make(tmp_path, Wanted(correct_norm=False))
    write_volume(tmp_path / "all.mrc", np.ones((BOX,) * 3, np.float32), PIXEL_A)
    told = run(tmp_path, mask="all.mrc")
    assert torch.equal(images(tmp_path), known.images)
    assert "nothing is subtracted" in told.told


def test_each_half_loses_its_own_map(tmp_path):
    known = make(tmp_path, Wanted(split_halves=True))
    run(tmp_path)
    norm = torch.from_numpy(np.array(known.particles.table["rlnNormCorrection"])).float()
    whole = known.images / (norm / norm.mean())[:, None, None]
    removed = whole - images(tmp_path)
    times = (removed * (whole - known.kept_images)).sum((1, 2)) / (
        (whole - known.kept_images) ** 2
    ).sum((1, 2))
    subset = np.array(known.particles.table["rlnRandomSubset"])
    assert times.numpy() == pytest.approx(subset, abs=0.06)  # the second map is twice as dense


def test_the_joined_map_of_both_halves_is_told(tmp_path):
    make(tmp_path, Wanted(split_halves=True))
    told = run(tmp_path, optimiser=OPTIMISER.replace("_it003", ""))
    assert "no longer independent" in told.told


def test_the_kept_part_comes_to_the_middle_of_a_smaller_box(tmp_path):
    known = make(tmp_path, Wanted(n=10))
    box = 20
    run(tmp_path, center_on_mask=True, box_px=box)
    star = read_star(tmp_path / JOINT)
    assert set(star["optics"]["rlnImageSize"]) == {box}
    origins = np.stack([star["particles"][f"rlnOrigin{a}Angst"] for a in "XY"], 1)
    assert np.abs(origins).max() <= PIXEL_A / 2 + 1e-4
    # The part, moved into the middle of its own map, is seen at the new origins.
    mask = torch.from_numpy(read_volume(tmp_path / MASK).data)
    point = torch.tensor(subtract.centre_of_mass(mask), dtype=torch.float64)
    assert point.norm() > 5
    table = known.particles.table.with_columns(
        {f"rlnOrigin{a}Angst": origins[:, i] for i, a in enumerate("XY")}
    )

    moved = images_of(replace(known.particles, table=table), known.kept.moved(-point), Wanted())
    assert error(images(tmp_path), new_box(moved, box, 2)) < 0.03


def test_a_point_between_voxels_can_be_the_centre(tmp_path):
    known = make(tmp_path, Wanted())
    point = torch.tensor([3.0, -2.0, 1.5], dtype=torch.float64)
    options = dict(zip(("center_x_px", "center_y_px", "center_z_px"), point.tolist(), strict=True))
    run(tmp_path, center_on_point=True, **options)
    rows = read_star(tmp_path / JOINT)["particles"]
    place = (known.particles.rotations(np.arange(12)) @ point)[:, :2]
    wanted = known.particles.shift_px(np.arange(12)) - place
    found = np.stack([rows[f"rlnOrigin{a}Angst"] for a in "XY"], 1) / PIXEL_A
    rest = wanted.numpy() - found
    assert rest == pytest.approx(np.round(rest), abs=1e-5)
    assert np.abs(found).max() <= 0.5 + 1e-5


def test_reverting_gives_back_names_boxes_and_the_sense_of_origins(tmp_path):
    known = make(tmp_path, Wanted())
    run(tmp_path, center_on_mask=True, box_px=24, write_float16=True)
    assert read_header(tmp_path / JOB / "Particles/subtracted_opticsgroup1_00001.mrcs").mode == 12
    before = read_star(tmp_path / JOINT)["particles"]
    told = FakeRun(tmp_path, "Subtract/job003/")
    subtract.run(Subtract(revert=True, particles_to_revert=JOINT), told)
    star = read_star(tmp_path / "Subtract/job003/original.star")
    rows = star["particles"]
    assert rows["rlnImageName"].tolist() == known.particles.table["rlnImageName"].tolist()
    assert rows["rlnImageOriginalName"].tolist() == before["rlnImageName"].tolist()
    assert set(star["optics"]["rlnImageSize"]) == {BOX}
    # The part is in the middle at these origins, too: whole pixels apart from those before.
    for axis in "XY":
        label = f"rlnOrigin{axis}Angst"
        moves = (rows[label] - before[label]) / PIXEL_A
        assert np.abs(moves).max() > 2
        assert moves == pytest.approx(np.round(moves), abs=1e-4)
    assert not [label for label in rows.labels if label.startswith("vitreous")]


def test_what_was_never_subtracted_cannot_be_reverted(tmp_path):
    make(tmp_path, Wanted())
    data = OPTIMISER.replace("optimiser", "data")
    with pytest.raises(FormatError, match="nothing to go back to"):
        subtract.run(Subtract(revert=True, particles_to_revert=data), FakeRun(tmp_path, JOB))


def test_continuing_does_only_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(subtract_work, "_UNIT_MOST", 2)
    make(tmp_path, Wanted())
    run(tmp_path)
    whole = images(tmp_path)
    stacks = sorted((tmp_path / JOB / "Particles").glob("*.mrcs"))
    assert len(stacks) == 6
    stamps = {path: path.stat().st_mtime_ns for path in stacks}
    stacks[2].with_suffix(".star").unlink()
    (tmp_path / JOINT).unlink()
    told = FakeRun(tmp_path, JOB, is_continue=True)
    subtract.run(Subtract(optimiser=OPTIMISER, mask=MASK, **PLAIN), told)
    assert [path for path in stacks if path.stat().st_mtime_ns != stamps[path]] == [stacks[2]]
    assert torch.equal(images(tmp_path), whole)
    assert "5 of 6 stacks were done before" in "\n".join(told.lines)


def test_a_job_that_is_stopped_leaves_nothing_half(tmp_path, monkeypatch):
    monkeypatch.setattr(subtract_work, "_UNIT_MOST", 2)
    make(tmp_path, Wanted())
    with pytest.raises(Aborted):
        subtract.run(
            Subtract(optimiser=OPTIMISER, mask=MASK, **PLAIN),
            FakeRun(tmp_path, JOB, abort_after=2),
        )
    assert not (tmp_path / JOINT).exists()
    assert not list((tmp_path / JOB).rglob("*.tmp"))
    for star in (tmp_path / JOB / "Particles").glob("*.star"):
        assert star.with_suffix(".mrcs").exists()


def test_ranks_share_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(subtract_work, "_UNIT_MOST", 3)
    make(tmp_path, Wanted())
    run(tmp_path)
    alone = images(tmp_path)
    job = "Subtract/job003/"
    options = Subtract(optimiser=OPTIMISER, mask=MASK, **PLAIN)
    runs = [FakeRun(tmp_path, job, rank=rank, n_ranks=2) for rank in (0, 1)]
    other = threading.Thread(target=subtract.run, args=(options, runs[1]))
    other.start()
    subtract.run(options, runs[0])
    other.join()
    assert torch.equal(images(tmp_path, job + "particles_subtracted.star"), alone)
    assert runs[1].advanced > 0


def test_bad_particles_are_named_and_left_out(tmp_path):
    known = make(tmp_path, Wanted())
    path = tmp_path / "stacks/a.mrcs"
    raw = np.memmap(path, np.float32, "r+", offset=1024, shape=(12, BOX, BOX))
    raw[4, 3, 3] = np.nan
    raw.flush()
    data = tmp_path / OPTIMISER.replace("optimiser", "data")
    star = read_star(data)
    names = star["particles"]["rlnImageName"].tolist()
    names[7] = "000001@stacks/lost.mrcs"
    rows = star["particles"].with_columns({"rlnImageName": names})
    write_star(data, [star["optics"], rows], version=30001)
    told = run(tmp_path)
    assert "000005@stacks/a.mrcs (row 5): it has pixels that are no numbers" in told.told
    assert "stacks/lost.mrcs" in told.told
    found = read_star(tmp_path / JOINT)["particles"]["rlnImageOriginalName"].tolist()
    assert found == [name for i, name in enumerate(names) if i not in (4, 7)]
    keep = [i for i in range(12) if i not in (4, 7)]
    assert error(images(tmp_path), known.kept_images[keep]) < 0.03


def test_a_job_without_one_good_particle_fails(tmp_path):
    make(tmp_path, Wanted())
    (tmp_path / "stacks/a.mrcs").unlink()
    with pytest.raises(ComputeError, match="None of the 12 particles"):
        run(tmp_path)


def test_other_particles_are_taken(tmp_path):
    known = make(tmp_path, Wanted(n_classes=2))
    star = read_star(tmp_path / OPTIMISER.replace("optimiser", "data"))
    chosen = np.array([8, 3, 1])
    rows = star["particles"].select(chosen)
    micrographs = ["m0.mrc", "m1.mrc", "never_seen.mrc"]
    rows = rows.with_columns({"rlnMicrographName": micrographs}).without("rlnGroupNumber")
    write_star(tmp_path / "some.star", [star["optics"], rows])
    told = run(tmp_path, use_other_particles=True, particles="some.star")
    left = images(tmp_path)
    assert error(left[:2], known.kept_images[chosen[:2]]) < 0.03
    assert "scale of these is taken as 1" in told.told
    assert "1 of 3 particles" in told.told
    lost = rows.with_columns({"rlnClassNumber": [1, 2, 3]})
    write_star(tmp_path / "some.star", [star["optics"], lost])
    given = {"use_other_particles": True, "particles": "some.star"}
    with pytest.raises(FormatError, match=r"row 3 \(1 rows.*rlnClassNumber is 3.*2 classes"):
        run(tmp_path, **given, job="Subtract/job003/")
    run(tmp_path, **given, job="Subtract/job004/", arguments="--ignore_class")
    write_star(tmp_path / "some.star", [star["optics"], lost.without("rlnAngleRot")])
    with pytest.raises(FormatError, match="there is no rlnAngleRot"):
        run(tmp_path, **given, job="Subtract/job005/")


def test_halves_must_be_known(tmp_path):
    make(tmp_path, Wanted(split_halves=True))
    star = read_star(tmp_path / OPTIMISER.replace("optimiser", "data"))
    rows = star["particles"].without("rlnRandomSubset")
    write_star(tmp_path / "some.star", [star["optics"], rows])
    with pytest.raises(FormatError, match=r"some.star: rlnRandomSubset must be 1 or 2"):
        run(tmp_path, use_other_particles=True, particles="some.star")


def test_masks_and_boxes_that_cannot_be_are_refused(tmp_path):
    make(tmp_path, Wanted())
    volume = read_volume(tmp_path / MASK).data
    write_volume(tmp_path / "small.mrc", volume[4:-4, 4:-4, 4:-4], PIXEL_A)
    write_volume(tmp_path / "map.mrc", volume * 7, PIXEL_A)
    write_volume(tmp_path / "coarse.mrc", volume, 2 * PIXEL_A)
    write_volume(tmp_path / "empty.mrc", 0 * volume, PIXEL_A)
    with pytest.raises(InputError, match="24 x 24 x 24 voxels, the refined map 32 x 32 x 32"):
        run(tmp_path, mask="small.mrc")
    with pytest.raises(InputError, match="values from 0 to 7; a mask goes from 0"):
        run(tmp_path, mask="map.mrc")
    with pytest.raises(InputError, match="voxels of 6 Å, the refined map of 3 Å"):
        run(tmp_path, mask="coarse.mrc")
    for mask in ("", "empty.mrc"):
        with pytest.raises(OptionError, match="no centre of mass"):
            run(tmp_path, mask=mask, center_on_mask=True)
    for size in (23, 64):
        with pytest.raises(OptionError, match=f"is {size}; wanted an even number up to 32"):
            run(tmp_path, box_px=size)
    with pytest.raises(InputError, match=r"A Subtract job takes: .*--ignore_class"):
        run(tmp_path, arguments="--what")


def test_class_averages_cannot_be_subtracted(tmp_path):
    made = fabricate(tmp_path, ndim=2)
    write_iteration("run", made.state, made.settings, made.particles, folder=tmp_path)
    with pytest.raises(InputError, match="is of a 2D classification"):
        run(tmp_path, optimiser="run_it003_optimiser.star")


def test_images_of_another_scale_are_told(tmp_path):
    make(tmp_path, Wanted())
    raw = np.memmap(tmp_path / "stacks/a.mrcs", np.float32, "r+", offset=1024)
    raw *= 5
    raw.flush()
    assert "normalised as in the refinement" in run(tmp_path).told


def theirs(folder, *words, ranks=1):
    """Subtract with RELION 3.1.3; return rows and images in the order of the originals."""
    requirements.need("relion")
    program = ["relion_particle_subtract"]
    if ranks > 1:
        program = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)]
        program.append("relion_particle_subtract_mpi")
    done = subprocess.run(
        [*program, "--i", OPTIMISER, "--mask", MASK, "--o", "R/", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = read_star(folder / "R/particles_subtracted.star")["particles"]
    order = np.argsort(rows["rlnImageOriginalName"].astype(str))
    return rows.select(order), images(folder, "R/particles_subtracted.star")[order.copy()]


AS_RELION = {
    "scales": (Wanted(), 1, 1e-4),
    "aberrations": (Wanted(beam_tilt_mrad=1.5), 1, 1e-4),
    "premultiplied": (Wanted(premultiplied=True), 1, 1e-4),
    "flipped": (Wanted(flip_phases=True), 1, 1e-4),
    "classes": (Wanted(n_classes=2), 1, 1e-4),
    "halves": (Wanted(split_halves=True), 2, 1e-4),
    # Rounding decides whether pixels on the very limit of the map, as (6, 8), belong to it.
    "limited": (Wanted(current_size_px=20), 1, 0.01),
}


@pytest.mark.parametrize("kind", AS_RELION)
def test_images_are_those_of_relion(kind, tmp_path):
    wanted, ranks, tolerance = AS_RELION[kind]
    make(tmp_path, wanted)
    words = ["--recenter_on_mask", "--new_box", "24"]
    rows, pictures = theirs(tmp_path, *words, ranks=ranks)
    run(tmp_path, center_on_mask=True, box_px=24)
    ours = read_star(tmp_path / JOINT)["particles"]
    assert ours["rlnImageOriginalName"].tolist() == rows["rlnImageOriginalName"].tolist()
    for axis in "XY":
        label = f"rlnOrigin{axis}Angst"
        assert ours[label] == pytest.approx(rows[label], abs=1e-3)
    difference = (images(tmp_path) - pictures).abs().max() / pictures.std()
    assert float(difference) < tolerance


@pytest.mark.parametrize("kind", ["noisy", "classes"])
def test_the_spectral_ratio_is_that_of_relion(kind, tmp_path):
    requirements.need("relion")
    make(tmp_path, Wanted(noise=0.7, n=24, n_classes=2 if kind == "classes" else 1))
    words = f"relion_particle_subtract --i {OPTIMISER} --mask {MASK} --o R/ --ssnr"
    subprocess.run(words.split(), cwd=tmp_path, check=True, capture_output=True, timeout=100)
    wanted = read_star(tmp_path / "R/spectral_snr.star").first
    told = run(tmp_path, arguments="--ssnr")
    found = read_star(tmp_path / JOB / "spectral_snr.star").first
    assert found.labels == wanted.labels
    for label in wanted.labels:
        np.testing.assert_allclose(
            found[label].astype(float), wanted[label].astype(float), rtol=1e-3, atol=1e-9,
            err_msg=label,
        )  # fmt: skip
    assert "It stays above 1 up to" in "\n".join(told.lines)
    assert not list((tmp_path / JOB).rglob("*.mrcs"))


def test_one_spectrum_needs_one_size(tmp_path):
    make(tmp_path, Wanted())
    data = tmp_path / OPTIMISER.replace("optimiser", "data")
    star = read_star(data)
    optics = star["optics"].with_columns({"rlnImagePixelSize": [PIXEL_A, 1.01 * PIXEL_A]})
    write_star(data, [optics, star["particles"]], version=30001)
    with pytest.raises(InputError, match="one spectrum is asked for"):
        run(tmp_path, arguments="--ssnr")


def test_several_ranks_through_a_project(tmp_path, monkeypatch):
    root = tmp_path / "p"
    root.mkdir()
    make(root, Wanted(n_classes=2))
    monkeypatch.chdir(root)
    project = vitreous.Project.create(root)
    made = []
    for n_ranks in (1, 2):
        job = project.run("subtract", optimiser=OPTIMISER, mask=MASK, n_ranks=n_ranks)
        assert job.status == "Succeeded", job.log() + job.log(err=True)
        assert job.results["particles"] == 12
        star = Path(job.path).relative_to(root.resolve()) / "particles_subtracted.star"
        made.append(images(root, str(star)))
    assert torch.equal(*made)


def test_relion_reads_and_reverts_ours(tmp_path):
    requirements.need("relion")
    known = make(tmp_path, Wanted())
    run(tmp_path, box_px=24, center_on_mask=True)
    (tmp_path / "R").mkdir()
    words = ["relion_particle_subtract", "--revert", JOINT, "--o", "R/"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    star = read_star(tmp_path / "R/original.star")
    names = star["particles"]["rlnImageName"].tolist()
    assert names == known.particles.table["rlnImageName"].tolist()
    assert set(star["optics"]["rlnImageSize"]) == {BOX}


def test_through_a_project(tmp_path, monkeypatch):
    root = tmp_path / "p"
    root.mkdir()
    make(root, Wanted())
    monkeypatch.chdir(root)
    project = vitreous.Project.create(root)
    job = project.run("subtract", optimiser=OPTIMISER, mask=MASK)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert job.results["particles"] == 12
    found = read_star(Path(job.path) / "particles_subtracted.star")["particles"]
    assert set(found["rlnNormCorrection"]) == {1.0}
    back = project.run(
        "subtract", revert=True,
        particles_to_revert=str(job.outputs["particles"].relative_to(project.root)),
    )  # fmt: skip
    assert back.status == "Succeeded", back.log() + back.log(err=True)
