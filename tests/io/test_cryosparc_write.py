"""From STAR to `.cs` and back: what is carried comes back, and what is not is told."""

from __future__ import annotations

import numpy as np
import pytest

from vitreous.errors import AbsentError, FormatError
from vitreous.io import Star, Table, write_volume
from vitreous.io.cryosparc import read_cs, rotation_from_vector
from vitreous.io.cryosparc_write import write_cs

REAL = (
    "empiar_10076_7.cs",
    "cryosparc_P12_J24_001_particles.cs",
    "cryosparc_J2_particles_exported.cs",
)


@pytest.mark.parametrize("name", REAL)
def test_real_files_come_back(data, tmp_path, name):
    """All fields of images, CTF and poses, to single precision; sums of sizes are closed."""
    before = np.load(data / "particles_small" / name)
    assert write_cs(tmp_path / "a.cs", read_cs(data / "particles_small" / name)) == ()
    after = np.load(tmp_path / "a.cs")
    assert len(after) == len(before)
    np.testing.assert_array_equal(after["uid"], before["uid"])
    paths = [value.decode().removeprefix(">") for value in before["blob/path"]]
    assert [value.decode() for value in after["blob/path"]] == paths
    # Written anew: groups count from 0; sign is that of light particles; the rest only tells how a
    # search went.
    other = {"uid", "blob/path", "blob/sign", "blob/import_sig", "ctf/type", "ctf/exp_group_id"}
    other |= {"ctf/scale_const", "alignments3D/pose", "alignments2D/class_posterior"}
    carried = [f for f in after.dtype.names if f in before.dtype.names and f not in other]
    assert len(carried) >= 16
    for field in carried:
        wanted, found = before[field].astype(float), after[field].astype(float)
        # 0 and 2 pi are one angle, and so are 0 and pi of astigmatism.
        np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6, err_msg=field)
    if "alignments3D/pose" in before.dtype.names:
        matrices = [rotation_from_vector(r["alignments3D/pose"].astype(float)) for r in (before,
                    after)]  # fmt: skip
        np.testing.assert_allclose(matrices[0], matrices[1], atol=2e-6)
        assert set(before["alignments3D/split"]) == {0, 1}
    again = read_cs(tmp_path / "a.cs")
    first = read_cs(data / "particles_small" / name)
    assert again["particles"].labels == first["particles"].labels or set(
        first["particles"].labels
    ) <= set(again["particles"].labels)


def star_of(n=6, **more):
    rng = np.random.default_rng(0)
    optics = {
        "rlnOpticsGroup": [2, 1],
        "rlnOpticsGroupName": ["b", "a"],
        "rlnVoltage": [200.0, 300.0],
        "rlnSphericalAberration": [1.4, 2.7],
        "rlnAmplitudeContrast": [0.1, 0.07],
        "rlnImagePixelSize": [1.5, 1.0],
        "rlnImageSize": [64, 96],
        "rlnBeamTiltX": [0.3, 0.0],
        "rlnBeamTiltY": [-0.2, 0.1],
    }
    particles = {
        "rlnImageName": [f"{i + 1:06d}@stack{i % 2}.mrcs" for i in range(n)],
        "rlnMicrographName": ["m.mrc"] * n,
        "rlnCoordinateX": rng.uniform(0, 40, n),
        "rlnCoordinateY": rng.uniform(0, 30, n),
        "rlnOpticsGroup": [1, 2] * (n // 2),
        "rlnDefocusU": rng.uniform(8000, 9000, n),
        "rlnDefocusV": rng.uniform(7000, 8000, n),
        "rlnDefocusAngle": rng.uniform(-90, 90, n),
        "rlnAngleRot": rng.uniform(-180, 180, n),
        "rlnAngleTilt": rng.uniform(1, 179, n),
        "rlnAnglePsi": rng.uniform(-180, 180, n),
        "rlnOriginXAngst": rng.normal(0, 3, n),
        "rlnOriginYAngst": rng.normal(0, 3, n),
        "rlnClassNumber": rng.integers(1, 4, n),
        "rlnRandomSubset": rng.integers(1, 3, n),
        **more,
    }
    tables = Table.from_columns("optics", optics), Table.from_columns("particles", particles)
    return Star(list(tables))


def test_star_files_come_back(tmp_path):
    write_volume(tmp_path / "m.mrc", np.zeros((30, 40), np.float32), 1.0)
    star = star_of()
    assert write_cs(tmp_path / "a.cs", star, root=tmp_path) == ()
    again = read_cs(tmp_path / "a.cs")
    particles, found = star["particles"], again["particles"]
    for label in particles.labels:
        if label in ("rlnImageName", "rlnMicrographName"):
            assert found[label].tolist() == particles[label].tolist()
        elif label != "rlnOpticsGroup":
            wanted = np.asarray(particles[label], float)
            np.testing.assert_allclose(found[label], wanted, rtol=1e-6, atol=3e-5, err_msg=label)
    for label in ("rlnVoltage", "rlnImagePixelSize", "rlnImageSize", "rlnBeamTiltX"):
        ours, theirs = (
            dict(zip(s["optics"]["rlnOpticsGroup"], s["optics"][label], strict=True))
            for s in (star, again)
        )
        for before, after in zip(particles["rlnOpticsGroup"], found["rlnOpticsGroup"], strict=True):
            assert theirs[after] == pytest.approx(ours[before], rel=1e-5, abs=1e-6)


def test_new_numbers_are_unique_and_stay(tmp_path):
    for name in ("a.cs", "b.cs"):
        write_cs(tmp_path / name, star_of(), root=tmp_path)
    first, second = (np.load(tmp_path / name)["uid"] for name in ("a.cs", "b.cs"))
    assert len(set(first.tolist())) == 6
    np.testing.assert_array_equal(first, second)


def test_what_is_lost_is_told(tmp_path):
    notes = write_cs(tmp_path / "a.cs", star_of(rlnOddZernike=[[0.0, 0.0]] * 6), root=tmp_path)
    assert notes[0] == "rlnOddZernike: not carried over"
    assert "1 of 1 micrographs cannot be read" in notes[1]
    assert "location/center_x_frac" not in (np.load(tmp_path / "a.cs").dtype.names or ())


def test_tables_that_do_not_fit_are_refused(tmp_path):
    star = star_of()
    with pytest.raises(AbsentError, match="wanted the tables data_optics and data_particles"):
        write_cs(tmp_path / "a.cs", Star([star["particles"]]))
    lost = star["particles"].with_columns({"rlnOpticsGroup": [1, 2, 3, 1, 1, 1]})
    with pytest.raises(FormatError, match="row 3: rlnOpticsGroup is 3, but data_optics has 1, 2"):
        write_cs(tmp_path / "a.cs", Star([star["optics"], lost]))
    bare = star["optics"].without("rlnVoltage")
    with pytest.raises(AbsentError, match="neither data_particles nor data_optics has rlnVoltage"):
        write_cs(tmp_path / "a.cs", Star([bare, star["particles"]]))


def test_stacks_that_end_in_mrc_are_named_as_stacks(data):
    """RELION refuses N@file.mrc as a stack, and reads N@file.mrc:mrcs."""
    star = read_cs(data / "particles_small/empiar_10076_7.cs")
    assert star["particles"]["rlnImageName"][2] == "000003@empiar_10076_7.mrc:mrcs"
    assert "dark on light" in star.notes[0]
