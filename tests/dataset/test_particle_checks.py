"""Whole particles files: real ones, good and bad, and fabricated faults."""

import numpy as np
import pytest

from dataset import fabricated
from vitreous.dataset.particle_checks import check_particles
from vitreous.dataset.particle_sample import sample_rows
from vitreous.io import Table, read_star, write_mrc

N = 24


def optics(**changes):
    row = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnVoltage": [300.0],
        "rlnSphericalAberration": [2.7],
        "rlnAmplitudeContrast": [0.1],
        "rlnImagePixelSize": [3.5],
        "rlnImageSize": [64],
    }
    return Table.from_columns("optics", row | {k: [v] for k, v in changes.items()})


def rows(n=N, **changes):
    columns = {
        "rlnImageName": [f"{i:06d}@stack.mrcs" for i in range(1, n + 1)],
        "rlnMicrographName": ["m.mrc"] * n,
        "rlnCoordinateX": np.arange(n) * 1.0,
        "rlnCoordinateY": np.arange(n) * 1.0,
        "rlnOpticsGroup": [1] * n,
        "rlnDefocusU": [12000.0] * n,
        "rlnDefocusV": [12000.0] * n,
        "rlnDefocusAngle": [0.0] * n,
    }
    return Table.from_columns("particles", columns | changes)


def told(report):
    return "\n".join(f"{finding.what} [{finding.unit}]" for finding in report.findings)


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = fabricated.particles(N)
    write_mrc(tmp_path / "stack.mrcs", images, 3.5)
    return images


def test_good_particles_raise_no_warning(stack):
    report = check_particles(rows(), optics())
    assert told(report) == ""
    assert report.n_checked == N
    assert report.fits["m.mrc"].best_A == pytest.approx(12000, abs=600)


def test_wrong_defocus_of_the_real_project_is_seen(data, monkeypatch):
    monkeypatch.chdir(data / "betagal_10204")
    star = read_star("particles_as_extracted.star")
    report = check_particles(star["particles"], star["optics"])
    (finding,) = report.findings
    assert finding.what.startswith("In 5 of 5 micrographs that can be judged, the particles do not")
    assert all(fit.contradicts for fit in report.fits.values())
    expected = read_star("PowerSpectra/expected_ctf.star").first
    truth = np.sort((expected["rlnDefocusU"] + expected["rlnDefocusV"]) / 2)
    found = np.sort([fit.best_A for fit in report.fits.values()])
    np.testing.assert_allclose(found, truth, atol=300)


def test_right_defocus_of_the_same_images_raises_no_warning(data, monkeypatch):
    monkeypatch.chdir(data / "betagal_10204")
    star = read_star("particles_consensus.star")
    report = check_particles(star["particles"], star["optics"])
    assert told(report) == ""
    assert all(fit.is_sure for fit in report.fits.values())


def test_missing_images_are_told_with_their_rows(stack):
    particles = rows().with_columns(
        {"rlnImageName": ["000001@gone.mrcs", "000099@stack.mrcs", *rows()["rlnImageName"][2:]]}
    )
    text = told(check_particles(particles, optics()))
    assert "2 of 24 images that were tried could not be read" in text
    assert "gone.mrcs: no such file (rows 1)" in text
    assert "stack.mrcs has 24 images, not 99 (rows 2)" in text


def test_values_that_are_not_numbers_are_named(stack):
    stack[7, 3, 3] = np.nan
    write_mrc("stack.mrcs", stack, 3.5)
    text = told(check_particles(rows(), optics()))
    assert "not numbers" in text
    assert "[row 8]" in text


def test_another_pixel_size_in_the_header_is_told(stack):
    write_mrc("stack.mrcs", stack, 1.75)
    text = told(check_particles(rows(), optics()))
    assert "1.75 Å per pixel, data_optics says 3.5" in text


def test_a_header_without_pixel_size_is_not_told(stack):
    write_mrc("stack.mrcs", stack, 1.0)
    assert told(check_particles(rows(), optics())) == ""


def test_box_that_is_odd_or_not_the_stated_one_is_told(stack):
    assert "rlnImageSize says 128" in told(check_particles(rows(), optics(rlnImageSize=128)))
    write_mrc("stack.mrcs", stack[:, :63, :], 3.5)
    assert "64 x 63 pixels" in told(check_particles(rows(), optics()))


@pytest.mark.parametrize(
    ("dropped", "words"),
    [
        ("rlnDefocusU", "CTF cannot be corrected"),
        ("rlnMicrographName", "one intensity scale"),
        ("rlnCoordinateX", "extracted again"),
    ],
)
def test_missing_columns_are_told_with_what_they_cost(stack, dropped, words):
    assert words in told(check_particles(rows().without(dropped), optics()))


@pytest.mark.parametrize("dropped", ["rlnVoltage", "rlnImagePixelSize", "rlnImageSize"])
def test_missing_optics_are_told(stack, dropped):
    assert dropped in told(check_particles(rows(), optics().without(dropped)))


@pytest.mark.parametrize(
    "change",
    [{"rlnVoltage": 300000.0}, {"rlnAmplitudeContrast": 10.0}, {"rlnImagePixelSize": 0.0}],
)
def test_impossible_optics_are_told(stack, change):
    (label,) = change
    assert f"{label} is" in told(check_particles(rows(), optics(**change)))


def test_impossible_defocus_rows_are_counted(stack):
    values = [12000.0] * N
    values[3] = float("nan")
    values[5] = 1e7
    text = told(check_particles(rows(rlnDefocusU=values), optics()))
    assert "2 rows have a rlnDefocusU" in text
    assert "rows 4, 6" in text


def test_images_multiplied_by_their_ctf_are_told_unless_the_optics_say_so(stack):
    write_mrc("stack.mrcs", fabricated.multiplied(stack, 3.5, 12000.0), 3.5)
    assert "multiplied by it, but rlnCtfDataAre" in told(check_particles(rows(), optics()))
    stated = optics(rlnCtfDataAreCtfPremultiplied=True)
    assert told(check_particles(rows(), stated)) == ""
    write_mrc("stack.mrcs", stack, 3.5)
    assert "were not multiplied" in told(check_particles(rows(), stated))


def test_images_listed_twice_are_told(stack):
    names = [f"{i:06d}@stack.mrcs" for i in [1, *range(1, N)]]
    assert "more than once" in told(check_particles(rows(rlnImageName=names), optics()))


def test_sample_is_small_repeatable_and_covers_all_optics_groups():
    n = 20000
    generator = np.random.default_rng(0)
    particles = rows(
        n,
        rlnMicrographName=[f"m{i // 100}.mrc" for i in range(n)],
        rlnOpticsGroup=np.where(np.arange(n) >= n - 30, 2, 1),
    )
    chosen = sample_rows(particles)
    assert 600 <= sum(map(len, chosen)) <= 1000
    assert {particles["rlnOpticsGroup"][part[0]] for part in chosen} == {1, 2}
    for part in chosen:
        assert len({particles["rlnMicrographName"][row] for row in part}) == 1
    again = sample_rows(particles)
    assert all(np.array_equal(a, b) for a, b in zip(chosen, again, strict=True))
    shuffled = particles.select(generator.permutation(n))
    assert len(sample_rows(shuffled)) == len(chosen)
