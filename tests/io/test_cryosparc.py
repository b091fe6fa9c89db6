"""cryoSPARC files say the same with RELION's labels."""

from __future__ import annotations

import numpy as np
import pytest

from vitreous.errors import AbsentError, FormatError, MissingFileError
from vitreous.io import format_star, parse_star, read_star
from vitreous.io.cryosparc import euler_from_matrix, read_cs, rotation_from_vector


def relion_matrix(angles_deg):
    """Return A of formats.md section 6 as a product of three rotations of the axes."""
    rot, tilt, psi = np.radians(angles_deg).T

    def about_z(angle):
        c, s, o = np.cos(angle), np.sin(angle), np.zeros_like(angle)
        return np.stack([c, s, o, -s, c, o, o, o, o + 1], 1).reshape(-1, 3, 3)

    def about_y(angle):
        c, s, o = np.cos(angle), np.sin(angle), np.zeros_like(angle)
        return np.stack([c, o, -s, o, o + 1, o, s, o, c], 1).reshape(-1, 3, 3)

    return about_z(psi) @ about_y(tilt) @ about_z(rot)


def test_a_real_file_equals_its_star_sibling(data):
    folder = data / "particles_small"
    star = read_cs(folder / "empiar_10076_7.cs")
    sibling = read_star(folder / "empiar_10076_7.star").first
    particles, optics = star["particles"], star["optics"]
    assert particles["rlnImageName"].tolist() == [
        f"{i:06d}@empiar_10076_7.mrc:mrcs" for i in range(1, 8)
    ]
    for label in ("rlnDefocusU", "rlnDefocusV"):
        np.testing.assert_array_equal(particles[label], sibling[label])
    np.testing.assert_allclose(particles["rlnDefocusAngle"], sibling["rlnDefocusAngle"], atol=1e-5)
    for label in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"):
        assert optics.value(label) == sibling.value(label)
    pixel = 1e4 * sibling.value("rlnDetectorPixelSize") / sibling.value("rlnMagnification")
    assert optics.value("rlnImagePixelSize") == pytest.approx(pixel, rel=1e-5)
    assert optics.value("rlnImageSize") == 320
    assert len(optics) == 1


def test_refined_poses_become_relion_s(data):
    path = data / "particles_small" / "cryosparc_P12_J24_001_particles.cs"
    records = np.load(path)
    particles = read_cs(path)["particles"]
    assert len(particles) == 2019
    angles = np.stack([particles[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], axis=1)
    vectors = records["alignments3D/pose"].astype(float)
    matrix = relion_matrix(angles)
    # The rotation vector is the axis, and its length the angle, of the transposed matrix.
    axes = np.stack(
        [
            matrix[:, 1, 2] - matrix[:, 2, 1],
            matrix[:, 2, 0] - matrix[:, 0, 2],
            matrix[:, 0, 1] - matrix[:, 1, 0],
        ],
        axis=1,
    )
    angle = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(axes, 2 * np.sinc(angle / np.pi)[:, None] * vectors, atol=1e-5)
    np.testing.assert_allclose(np.trace(matrix, axis1=1, axis2=2), 1 + 2 * np.cos(angle), atol=1e-5)
    np.testing.assert_allclose(
        particles["rlnOriginXAngst"], records["alignments3D/shift"][:, 0] * 2.95, rtol=1e-5
    )
    assert set(particles["rlnRandomSubset"]) == {1, 2}
    assert particles["rlnClassNumber"].min() == 1


def test_two_dimensional_classes(data):
    path = data / "particles_small" / "cryosparc_J2_particles_exported.cs"
    records = np.load(path)
    star = read_cs(path)
    particles = star["particles"]
    assert particles["rlnImageName"][0].startswith("000001@J1/imported/000090334788266266069_")
    np.testing.assert_allclose(
        particles["rlnAnglePsi"], np.degrees(records["alignments2D/pose"]), rtol=1e-5
    )
    assert particles["rlnOriginYAngst"][0] == pytest.approx(12 * 1.345)
    assert "rlnAngleRot" not in particles
    assert "rlnRandomSubset" not in particles
    assert parse_star(format_star(star)) == star


@pytest.mark.parametrize("tilt", [0.0, 180.0, 37.0])
def test_angles_come_back_from_the_matrix(tilt):
    angles = np.array([[20.0, tilt, -75.0], [-170.0, tilt, 10.0], [0.0, tilt, 0.0]])
    again = euler_from_matrix(relion_matrix(angles))
    np.testing.assert_allclose(relion_matrix(again), relion_matrix(angles), atol=1e-12)
    if tilt == 37.0:
        np.testing.assert_allclose(again, angles, atol=1e-9)


def test_a_rotation_vector_turns_about_its_axis():
    (matrix,) = rotation_from_vector(np.array([[0.0, 0.0, np.pi / 2]]))
    np.testing.assert_allclose(matrix @ [1, 0, 0], [0, 1, 0], atol=1e-12)
    np.testing.assert_array_equal(rotation_from_vector(np.zeros((1, 3)))[0], np.eye(3))


def made(**more):
    fields = {
        "uid": np.array([5, 3, 9], np.uint64),
        "blob/path": np.array([b">J1/a.mrc"] * 3),
        "blob/idx": np.array([0, 1, 2], np.uint32),
        "blob/psize_A": np.array([1, 1, 2], np.float32),
        "ctf/accel_kv": np.full(3, 300, np.float32),
        "ctf/cs_mm": np.full(3, 2.7, np.float32),
        "ctf/amp_contrast": np.full(3, 0.1, np.float32),
        **more,
    }
    records = np.zeros(3, [(name, v.dtype, v.shape[1:]) for name, v in fields.items()])
    for name, values in fields.items():
        records[name] = values
    return records


def save(path, records):
    with path.open("wb") as stream:
        np.save(stream, records)
    return path


def test_passthrough_files_are_joined_by_uid(tmp_path):
    main = save(tmp_path / "a.cs", made())
    more = made(
        **{
            "ctf/exp_group_id": np.array([4, 4, 4], np.uint32),
            "ctf/tilt_A": np.full((3, 2), 2.7e4, np.float32),
            "ctf/trefoil_A": np.ones((3, 2), np.float32),
            "location/micrograph_path": np.array([b"m5", b"m3", b"m9"]),
            "location/micrograph_shape": np.full((3, 2), [100, 200], np.uint32),
            "location/center_x_frac": np.array([0.5, 0.25, 0.1], np.float32),
            "location/center_y_frac": np.array([0.5, 0.25, 0.1], np.float32),
        }
    )
    star = read_cs(main, [save(tmp_path / "b.cs", more[[2, 0, 1]])])
    particles = star["particles"]
    assert particles["rlnMicrographName"].tolist() == ["m5", "m3", "m9"]
    assert particles["rlnCoordinateX"].tolist() == [100, 50, 20]
    assert particles["rlnCoordinateY"].tolist() == [50, 25, 10]
    assert particles["cryosparcUid"].tolist() == ["5", "3", "9"]
    assert particles["rlnOpticsGroup"].tolist() == [1, 1, 2]
    assert star["optics"]["rlnImagePixelSize"].tolist() == [1, 2]
    np.testing.assert_allclose(star["optics"]["rlnBeamTiltX"], 1.0, rtol=1e-5)
    assert star.notes == ("ctf/trefoil_A: fitted values are not carried over; refine them again",)
    with pytest.raises(FormatError, match=r"c\.cs lacks 1 of the 3 particles of .*uid 9"):
        read_cs(main, [save(tmp_path / "c.cs", more[:2])])


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.cs").write_bytes(b"no")
    with pytest.raises(FormatError, match=r"a\.cs is not a \.cs file"):
        read_cs(tmp_path / "a.cs")
    with pytest.raises(FormatError, match="records with a uid are wanted, found plain numbers"):
        read_cs(save(tmp_path / "b.cs", np.zeros(3)))
    with pytest.raises(AbsentError, match=r"no blob/path, blob/idx, .*passthrough"):
        read_cs(save(tmp_path / "c.cs", np.zeros(3, [("uid", "u8")])))
    with pytest.raises(MissingFileError, match="no such file"):
        read_cs(tmp_path / "none.cs")
