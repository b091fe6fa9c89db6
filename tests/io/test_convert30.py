"""Tables of RELION 3.0 get the optics groups that RELION itself would give them."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table, parse_star, read_star, write_star
from vitreous.io.convert30 import ImageShape, needs_optics_groups, with_optics_groups


def particles(n=5, image="a.mrcs"):
    """Three combinations of optics: row 1 differs in contrast, row 3 in pixel size."""
    numbers = np.arange(n)
    return Table.from_columns(
        "images",
        {
            "rlnVoltage": 300,
            "rlnDefocusU": 10000.0 + numbers,
            "rlnSphericalAberration": 2.7,
            "rlnDetectorPixelSize": np.where(numbers == 3, 15.0, 14.0),
            "rlnMagnification": 50000,
            "rlnAmplitudeContrast": np.where(numbers == 1, 0.07, 0.1),
            "rlnImageName": [f"{i + 1:06d}@{image}" for i in numbers],
            "rlnOriginX": 1.5 * numbers,
            "rlnOriginY": -2.25,
            "rlnOriginXPrior": 3.5,
            "rlnHelicalTrackLength": 12.5,
            "rlnBeamTiltX": 0.1,
            "rlnBeamTiltY": -0.2,
            "rlnOpticsGroup": 1,
            "rlnRandomSubset": 1 + numbers % 2,
            "fooBar": "x",
        },
    )


def micrographs():
    return Table.from_columns(
        "",
        {
            "rlnMicrographName": ["m1.mrc", "m2.mrc", "m3.mrc"],
            "rlnVoltage": [300, 200, 300],
            "rlnSphericalAberration": 2.7,
            "rlnAmplitudeContrast": 0.1,
            "rlnDetectorPixelSize": 5,
            "rlnMagnification": 50000,
            "rlnDefocusU": [1e4, 1e4, 9e3],
        },
    )


def movies(folder):
    general = Table.from_columns(
        "general",
        {
            "rlnImageSizeX": 3710,
            "rlnImageSizeY": 3838,
            "rlnImageSizeZ": 24,
            "rlnMicrographMovieName": "Movies/a.tif",
            "rlnMicrographBinning": 2,
            "rlnMicrographOriginalPixelSize": 0.885,
            "rlnMicrographDoseRate": 1.277,
            "rlnMicrographPreExposure": 0,
            "rlnVoltage": 200,
            "rlnMicrographStartFrame": 1,
            "rlnMotionModelVersion": 0,
        },
        is_list=True,
    )
    shifts = {"rlnMicrographFrameNumber": 1, "rlnMicrographShiftX": 0, "rlnMicrographShiftY": 0}
    write_star(folder / "meta.star", [general, Table.from_columns("global_shift", shifts)])
    return Table.from_columns(
        "", {"rlnMicrographName": ["m1.mrc", "m2.mrc"], "rlnMicrographMetadata": "meta.star"}
    )


def referee(folder, table, *options):
    """Convert with RELION."""
    write_star(folder / "old.star", Star([table], version=None))
    subprocess.run(
        ["relion_convert_star", "--i", "old.star", "--o", "new.star", *options],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return read_star(folder / "new.star")


def same(ours, theirs):
    """Compare with what the referee wrote with 6 or 7 digits."""
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name].labels == theirs[name].labels
        for label in theirs[name].labels:
            left, right = ours[name][label], theirs[name][label]
            if left.dtype == object:
                assert left.tolist() == right.tolist()
            else:
                np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6, err_msg=label)


@pytest.mark.parametrize("image", ["a.mrcs", "missing.mrcs"])
def test_particles_become_what_relion_makes_of_them(relion, data, tmp_path, monkeypatch, image):
    (tmp_path / "a.mrcs").symlink_to(data / "particles_small" / "relion31.mrcs")
    monkeypatch.chdir(tmp_path)
    ours = with_optics_groups(Star([particles(image=image)], version=None))
    same(ours, referee(tmp_path, particles(image=image)))
    assert ours["particles"]["rlnOpticsGroup"].tolist() == [1, 2, 1, 3, 1]
    assert ("rlnImageSize" in ours["optics"]) == (image == "a.mrcs") == (not ours.notes)


def test_micrographs_become_what_relion_makes_of_them(relion, tmp_path):
    same(with_optics_groups(Star([micrographs()], version=None)), referee(tmp_path, micrographs()))


def test_motion_corrected_movies_become_what_relion_makes_of_them(relion, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = movies(tmp_path)
    ours = with_optics_groups(Star([table], version=None), cs_mm=1.4, amplitude_contrast=0.1)
    same(ours, referee(tmp_path, table, "--Cs", "1.4", "--Q0", "0.1"))
    with pytest.raises(InputError, match="give both"):
        with_optics_groups(Star([table], version=None))


def test_real_particles_are_upgraded_while_read(data):
    path = data / "particles_small" / "FinalRefinement-OriginalParticles-PfCRT.star"
    old = read_star(path).first
    star = read_star(path, upgrade=True)
    assert list(star) == ["optics", "particles"]
    pixel = 1e4 * old["rlnDetectorPixelSize"][0] / old["rlnMagnification"][0]
    assert star["optics"].value("rlnImagePixelSize") == pixel
    np.testing.assert_array_equal(star["particles"]["rlnOriginXAngst"], old["rlnOriginX"] * pixel)
    assert "rlnOriginX" not in star["particles"]
    assert "size of the images" in star.notes[0]


def test_lengths_use_the_pixel_of_their_own_group():
    star = with_optics_groups(Star([particles()]), shape_of=lambda name: ImageShape(64, 2))
    np.testing.assert_allclose(star["particles"]["rlnOriginXAngst"], [0, 4.2, 8.4, 13.5, 16.8])
    assert star["optics"]["rlnImageSize"].tolist() == [64, 64, 64]


def test_other_files_are_left_alone(tmp_path):
    new = Star([Table.from_columns("optics", {"rlnOpticsGroup": 1}), particles()])
    assert with_optics_groups(new) is new
    for text in ("data_\nloop_\n_rlnCoordinateX\n1\n", "data_a\n_rlnMicrographName x\n"):
        assert not needs_optics_groups(parse_star(text))
        with pytest.raises(FormatError, match="only particles and micrographs"):
            with_optics_groups(parse_star(text))
    write_star(tmp_path / "a.star", new)
    assert read_star(tmp_path / "a.star", upgrade=True) == new


def test_an_unknown_pixel_size_is_told(tmp_path):
    table = particles().without("rlnMagnification")
    write_star(tmp_path / "a.star", Star([table], version=None))
    with pytest.raises(FormatError, match=r"a\.star: data_images has no .*pixel size"):
        read_star(tmp_path / "a.star", upgrade=True)
    star = with_optics_groups(Star([table]), pixel_size_A=2.0)
    assert star["particles"]["rlnOriginXAngst"].tolist() == [0, 3, 6, 9, 12]
    assert len(star["optics"]) == 2


@pytest.mark.parametrize("shape", [(2, 7, 7), (2, 8, 6)])
def test_odd_or_oblong_images_leave_the_size_out(tmp_path, monkeypatch, shape):
    from vitreous.io import write_mrc

    monkeypatch.chdir(tmp_path)
    write_mrc("a.mrcs", np.zeros(shape, np.float32), 1.0)
    star = with_optics_groups(Star([particles(2)]))
    assert "rlnImageSize" not in star["optics"]
    assert "square and of even size" in star.notes[0]
