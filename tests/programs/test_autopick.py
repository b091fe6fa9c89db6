"""AutoPick as a job: files, numbers, what is refused, what is skipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from programs.fake_run import FakeRun
from vitreous.engine import masking
from vitreous.errors import InputError
from vitreous.io import Star, Table, read_star, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.shared import Running
from vitreous.programs import autopick
from vitreous.programs.autopick_work import read_map, write_map

PLACES = [(60, 70), (150, 60), (200, 190), (90, 180)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Micrographs").mkdir()
    generator = torch.Generator().manual_seed(0)
    disc = (masking.radius(40, 2) < 17).to(torch.float32)
    names = []
    for number, shape in enumerate([(256, 256), (241, 300)]):
        image = 0.3 * torch.randn(shape, generator=generator)
        for x, y in PLACES:
            image[y - 20 : y + 20, x - 20 : x + 20] -= disc
        names.append(f"Micrographs/m{number}.mrc")
        write_mrc(tmp_path / names[-1], image.numpy(), 2.0)
    _write_list(tmp_path, names)
    return tmp_path


def _write_list(project: Path, names: list[str]) -> None:
    optics = {
        "rlnOpticsGroupName": ["a"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [2.0],
        "rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1],
    }  # fmt: skip
    n = len(names)
    rows = {
        "rlnMicrographName": names, "rlnOpticsGroup": [1] * n, "rlnDefocusU": [12000.0] * n,
        "rlnDefocusV": [11000.0] * n, "rlnDefocusAngle": [20.0] * n,
    }  # fmt: skip
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(project / "micrographs.star", Star(tables))


def _log(**more: object) -> AutoPick:
    return AutoPick(
        micrographs="micrographs.star", use_log=True, log_min_diameter_A=60,
        log_max_diameter_A=80, log_threshold_sigma=2, **more,
    )  # type: ignore[arg-type] # options by name  # fmt: skip


def _templates(project: Path, **more: object) -> AutoPick:
    disc = (masking.radius(48, 2) < 17).to(torch.float32)[None]
    write_mrc(project / "refs.mrcs", disc.numpy(), 2.0)
    given = {"templates_are_ctf_corrected": False, "templates": "refs.mrcs", "threshold": 0.3,
             "in_plane_step_deg": 360.0, "min_distance_A": 60, "max_noise_sigma": -1.0,
             "running": Running(other_arguments="--particle_diameter 92")}  # fmt: skip
    return AutoPick(micrographs="micrographs.star", use_templates=True, **(given | more))  # type: ignore[arg-type] # options by name


def _pick(options: AutoPick, project: Path, **more: object) -> FakeRun:
    job = FakeRun(project, "AutoPick/job005/", **more)  # type: ignore[arg-type] # fields by name
    autopick.run(options, job)
    return job


def _require_found(project: Path) -> None:
    picks = read_coordinates("AutoPick/job005/autopick.star", project)
    assert [name for name, _ in picks] == ["Micrographs/m0.mrc", "Micrographs/m1.mrc"]
    for _, table in picks:
        places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
        for place in PLACES:
            assert np.hypot(*(places - place).T).min() < 6


def test_blobs_of_micrographs_of_any_shape(project: Path) -> None:
    job = _pick(_log(), project)
    _require_found(project)
    assert job.headlines["picks"] >= 2 * len(PLACES)
    assert set(job.plots) == {"picks", "fom", "micrographs"}
    assert (job.path / "logfile.pdf").is_file()
    assert len(read_star(job.path / "summary.star").first) == 2


def test_templates_and_their_maps(project: Path) -> None:
    job = _pick(_templates(project, write_fom_maps=True), project)
    _require_found(project)
    kept = job.path / "Micrographs" / "m0_autopick_ref000000_bestCCF.spi"
    assert read_map(kept).max() > 0.3
    again = _pick(
        _templates(project, read_fom_maps=True, threshold=99.0), project, is_continue=True
    )
    assert again.headlines["picks"] == 0


def test_the_ctf_is_applied(project: Path) -> None:
    plain = _pick(_templates(project, write_fom_maps=True), project)
    kept = plain.path / "Micrographs" / "m0_autopick_ref000000_bestCCF.spi"
    before = read_map(kept)
    _pick(
        _templates(project, write_fom_maps=True, templates_are_ctf_corrected=True),
        project,
        is_continue=True,
    )
    assert np.abs(read_map(kept) - before).max() > 0.01


def test_correlation_coefficients_are_merits_on_request(project: Path) -> None:
    arguments = Running(other_arguments="--particle_diameter 92 --correlation_coefficient")
    job = _pick(_templates(project, running=arguments, threshold=0.4, write_fom_maps=True), project)
    _require_found(project)
    kept = read_map(job.path / "Micrographs" / "m0_autopick_ref000000_bestCCF.spi")
    assert 0.5 < kept.max() <= 1.01


def test_a_map_is_projected_in_all_directions(project: Path) -> None:
    volume = (masking.radius(48, 3) < 17).to(torch.float32) / 34  # projections of about 1
    write_mrc(project / "map.mrc", volume.numpy(), 2.0)
    options = _templates(project, templates="", use_map=True, map="map.mrc", point_group="D2")
    job = _pick(options, project)
    _require_found(project)
    assert any("projections of map.mrc" in line for line in job.lines)


def test_an_uneven_background_is_not_picked_from(project: Path) -> None:
    """The limits on mean and deviation of the background take picks away, where they should."""
    image = 0.3 * torch.randn(256, 256, generator=torch.Generator().manual_seed(2))
    disc = (masking.radius(40, 2) < 17).to(torch.float32)
    for x, y in PLACES:
        image[y - 20 : y + 20, x - 20 : x + 20] -= disc
    # The right half is strong and uneven, as carbon is.
    image[:, 128:] += torch.randn(256, 128, generator=torch.Generator().manual_seed(3))
    write_mrc(project / "Micrographs" / "m0.mrc", image.numpy(), 2.0)
    _write_list(project, ["Micrographs/m0.mrc"])
    _pick(_templates(project, max_noise_sigma=1.0), project)
    quiet = dict(read_coordinates("AutoPick/job005/autopick.star", project))["Micrographs/m0.mrc"]
    assert len(quiet)
    assert (quiet["rlnCoordinateX"] < 128).all()
    (project / "AutoPick" / "job005" / "Micrographs" / "m0_autopick.star").unlink()
    _pick(_templates(project, min_noise_average=50.0), project)
    none = dict(read_coordinates("AutoPick/job005/autopick.star", project))["Micrographs/m0.mrc"]
    assert not len(none)


def test_picking_goes_on_by_hand(project: Path) -> None:
    job = _pick(_log(), project)
    before = read_coordinates("AutoPick/job005/autopick.star", project)
    _pick(_log(continue_by_hand=True), project, is_continue=True)
    after = read_coordinates("AutoPick/job005/autopick.star", project)
    assert [name for name, _ in after] == [name for name, _ in before]
    assert [len(table) for _, table in after] == [len(table) for _, table in before]
    assert (job.path / "Micrographs" / "m0_autopick.star").is_file()


def test_a_gaussian_reference(project: Path) -> None:
    arguments = Running(other_arguments="--ref gauss --particle_diameter 70 --gauss_max 1")
    _pick(_templates(project, templates="", running=arguments, threshold=0.1), project)
    _require_found(project)


def test_filaments_are_written_as_segments(project: Path) -> None:
    image = 0.3 * torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    image[100:125, 30:230] -= 1
    write_mrc(project / "Micrographs" / "m0.mrc", image.numpy(), 2.0)
    options = _templates(
        project,
        pick_helix=True,
        tube_diameter_A=30.0,
        rise_A=10.0,
        max_curvature=0.5,
        threshold=-0.4,
    )
    _pick(options, project)
    tables = [t for _, t in read_coordinates("AutoPick/job005/autopick.star", project) if len(t)]
    assert tables
    assert all("rlnHelicalTubeID" in table and "rlnAnglePsiPrior" in table for table in tables)


def test_what_is_done_is_not_done_again(project: Path) -> None:
    job = _pick(_log(), project)
    file = job.path / "Micrographs" / "m0_autopick.star"
    before = file.stat().st_mtime_ns
    _pick(_log(), project, is_continue=True)
    assert file.stat().st_mtime_ns == before


def test_a_bad_micrograph_is_named_and_left_out(project: Path) -> None:
    write_mrc(project / "Micrographs" / "m0.mrc", np.full((256, 256), 7.0, np.float32), 2.0)
    job = _pick(_log(), project)
    assert "all pixels of the micrograph are equal" in job.told
    assert "Micrographs/m0.mrc" in job.told
    assert len(read_coordinates("AutoPick/job005/autopick.star", project)) == 1


def test_micrographs_of_no_known_group_or_sampling_are_named(project: Path) -> None:
    names = [f"Micrographs/m{number}.mrc" for number in (0, 1, 0)]
    optics = {
        "rlnOpticsGroupName": ["a", "b"], "rlnOpticsGroup": [1, 2],
        "rlnMicrographPixelSize": [2.0, 0.0],
    }  # fmt: skip
    rows = {"rlnMicrographName": names, "rlnOpticsGroup": [1, 7, 2]}
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(project / "micrographs.star", Star(tables))
    job = _pick(_log(), project)
    assert "m1.mrc: rlnOpticsGroup is 7, but data_optics has 1, 2" in job.told
    assert "nobody knows its pixel size" in job.told
    assert any("2 of 3 micrographs could not be used" in line for line in job.lines)


def test_a_mask_larger_than_the_box_is_refused_first(project: Path) -> None:
    arguments = Running(other_arguments="--particle_diameter 500")
    with pytest.raises(InputError, match="mask is larger than the box"):
        _pick(_templates(project, running=arguments), project)


def test_many_maps_are_refused(project: Path) -> None:
    _write_list(project, [f"Micrographs/x{number}.mrc" for number in range(40)])
    with pytest.raises(InputError, match="no_fom_limit"):
        _pick(_log(write_fom_maps=True), project)


def test_maps_come_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(5, 37)).astype(np.float32)
    write_map(tmp_path / "a.spi", values)
    np.testing.assert_array_equal(read_map(tmp_path / "a.spi"), values)
