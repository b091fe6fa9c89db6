"""Pieces of the simulator against sums and formulas written out by hand."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from vitreous.errors import FormatError, InputError
from vitreous.testing.simulate import (
    atoms,
    contrast,
    density,
    detector,
    dose,
    ice,
    motion,
    projection,
    rotations,
    scattering,
)
from vitreous.testing.simulate.atoms import Atoms


def few_atoms(n: int = 7, b_A2: float = 0.0) -> Atoms:
    rng = np.random.default_rng(3)
    elements = np.array(["C", "N", "O", "S", "MG", "P", "C"][:n])
    return Atoms(
        elements, rng.uniform(-25, 25, (n, 3)), b_A2 + rng.uniform(5, 80, n), np.ones(n), False
    )


def pdb_line(serial, name, element, xyz=(1.0, 2.0, 3.0), altloc=" ", occ=1.0, residue="ALA"):
    x, y, z = xyz
    return (
        f"ATOM  {serial:5d} {name:<4s}{altloc}{residue} A   1    "
        f"{x:8.3f}{y:8.3f}{z:8.3f}{occ:6.2f}{20.0:6.2f}          {element:>2s}\n"
    )


def test_a_projection_is_the_sum_over_atoms():
    model = few_atoms()
    points, camera = density.from_atoms(model, 300.0), projection.Camera(64, 1.5)
    turn = rotations.matrices(np.array([[30.0, 50.0, -70.0]]))
    shift = np.array([[2.3, -4.1]])
    found = projection.project(points, turn, shift, camera)[0]
    kx, ky = camera.frequencies()
    wanted = np.zeros(found.shape, complex)
    for element, position, b in zip(model.elements, model.positions_A, model.b_A2, strict=True):
        x, y = (turn[0] @ position)[:2] + shift[0]
        amplitude = scattering.form_factor(element, b, np.hypot(kx, ky), with_hydrogens=True)
        wanted += amplitude * np.exp(-2j * np.pi * (kx * x + ky * y))
    wanted *= 2 * scattering.phase_per_amplitude_A(300.0) / 1.5**2
    inner = (slice(None), slice(0, 32))
    keep = np.arange(64) != 32
    error = np.abs(found - wanted)[keep][inner]
    assert error.max() < 2e-3 * np.abs(wanted).max()


def test_an_atom_makes_a_gaussian_where_it_lies():
    model = Atoms(np.array(["C"]), np.array([[6.0, -3.0, 9.0]]), np.array([60.0]), np.ones(1), True)
    camera = projection.Camera(32, 1.5)
    image = density.to_image(
        projection.project(
            density.from_atoms(model, 300.0), np.eye(3)[None], np.zeros((1, 2)), camera
        )
    )[0]
    y, x = np.unravel_index(image.argmax(), image.shape)
    assert (x, y) == (16 + 4, 16 - 2)
    volume = density.density_map(density.from_atoms(model, 300.0), 32, 1.5)
    assert np.unravel_index(volume.argmax(), volume.shape) == (16 + 6, 16 - 2, 16 + 4)


def test_sums_of_the_map_along_the_beam_are_the_projection():
    points, camera = density.from_atoms(few_atoms(), 300.0), projection.Camera(64, 1.5)
    volume = density.density_map(points, 64, 1.5)
    image = density.to_image(projection.project(points, np.eye(3)[None], np.zeros((1, 2)), camera))[
        0
    ]
    np.testing.assert_allclose(volume.sum(0), image, atol=2e-3 * image.max())


def test_a_map_projects_as_the_model_it_was_made_of():
    # Blurred so far that the grid of the map cuts nothing off.
    points = density.from_atoms(few_atoms(b_A2=150.0), 300.0)
    camera = projection.Camera(64, 1.5)
    voxels = density.from_volume(density.density_map(points, 64, 1.5), 1.5, 1.5**2)
    turn, shift = rotations.matrices(np.array([[10.0, 75.0, 140.0]])), np.array([[1.1, 0.4]])
    one, other = (projection.project(p, turn, shift, camera)[0] for p in (points, voxels))
    shared = np.hypot(*camera.frequencies()) < 0.95 * 0.5 / 1.5  # a map knows no corners
    assert np.abs(one - other)[shared].max() < 2e-3 * np.abs(one).max()


def test_layers_sum_to_the_flat_projection():
    points, camera = density.from_atoms(few_atoms(), 300.0), projection.Camera(64, 1.5)
    turn = rotations.matrices(np.array([[30.0, 50.0, -70.0]]))
    flat = projection.project(points, turn, np.zeros((1, 2)), camera)[0]
    layers, heights = projection.project_layers(points, turn[0], np.zeros(2), camera, 5.0)
    assert len(heights) > 3
    np.testing.assert_allclose(layers.sum(0), flat, atol=1e-4 * np.abs(flat).max())


def test_free_atoms_scatter_as_the_table_says():
    # International Tables C, table 4.3.1.1: f(0) of carbon is 2.51 Å, of oxygen 1.98 Å.
    assert scattering.elastic_factor("C", np.zeros(1))[0] == pytest.approx(2.509, abs=2e-3)
    assert scattering.elastic_factor("O", np.zeros(1))[0] == pytest.approx(1.983, abs=2e-3)
    assert scattering.wavelength_A(300.0) == pytest.approx(0.019687, abs=1e-6)
    # 6.526e-4 rad per volt and Å, times 47.878 V Å² for each Å of amplitude.
    assert scattering.phase_per_amplitude_A(300.0) == pytest.approx(6.526e-4 * 47.878, rel=1e-3)


def test_the_ctf_is_that_of_the_formula():
    camera = projection.Camera(64, 1.2)
    kx, ky = camera.frequencies()
    found = contrast.transfer(
        contrast.Microscope(200.0, 1.4, 0.07, phase_shift_deg=20.0), kx, ky,
        np.array([[15000.0, 13000.0, 25.0]]), bfactor_A2=30.0,
    )[0]  # fmt: skip
    for row, column in ((0, 0), (5, 9), (60, 3), (31, 31)):
        x, y = kx[0, column], ky[row, 0]
        k2, angle = x * x + y * y, np.arctan2(y, x) - np.radians(25.0)
        z = 15000 * np.cos(angle) ** 2 + 13000 * np.sin(angle) ** 2
        wave = 12.2643247 / np.sqrt(2e5 * (1 + 0.978466e-6 * 2e5))
        chi = np.pi * wave * z * k2 - 0.5 * np.pi * 1.4e7 * wave**3 * k2**2
        wanted = np.sin(chi + np.radians(20) + np.arcsin(0.07)) * np.exp(-30 * k2 / 4)
        assert found[row, column].real == pytest.approx(wanted, abs=1e-4)
        assert found[row, column].imag == 0


def test_zernike_terms_are_numbered_as_relion_numbers_them():
    # Odd: 0, 1 tilt terms rho cos/sin; 2 and 5 trefoil; 3 and 4 coma 3 rho^3 - 2 rho.
    assert [contrast._orders(i, odd=True) for i in range(6)] == [
        (1, -1), (1, 1), (3, -3), (3, -1), (3, 1), (3, 3)]  # fmt: skip
    assert [contrast._orders(i, odd=False) for i in range(5)] == [
        (0, 0), (2, -2), (2, 0), (2, 2), (4, -4)]  # fmt: skip
    kx, ky = np.array([[0.1]]), np.array([[0.05]])
    odd = contrast.Microscope(odd_zernike=contrast.trefoil(400.0, 0.0))
    pair = [contrast.transfer(m, kx, ky, np.array([[1e4, 1e4, 0]]))[0, 0, 0]
            for m in (odd, contrast.Microscope())]  # fmt: skip
    cubic = 0.1**3 - 3 * 0.1 * 0.05**2  # rho^3 cos 3 phi
    assert np.angle(pair[0] / pair[1]) == pytest.approx(400 * cubic, abs=1e-5)


@pytest.mark.parametrize("group", ["C1", "C7", "D2", "D5", "T", "O", "I1", "I2", "I3", "I4"])
def test_point_groups_are_those_of_the_engine(group):
    from vitreous.engine import symmetry

    ours = rotations.operators(group)
    theirs = symmetry.rotations(group).numpy()
    assert len(ours) == len(theirs)
    distance = np.abs(ours[:, None] - theirs[None]).max((2, 3))
    assert distance.min(1).max() < 1e-4


def test_preferred_views_are_as_common_as_asked():
    wish = rotations.Preference(40.0, 110.0, 8.0, 0.6)
    angles = rotations.random_angles(4000, np.random.default_rng(0), (wish,))
    view = rotations.matrices(angles)[:, 2]
    wanted = rotations.matrices(np.array([[40.0, 110.0, 0.0]]))[0, 2]
    distance = np.degrees(np.arccos(np.clip(view @ wanted, -1, 1)))
    near = distance < 30
    assert near.mean() == pytest.approx(0.6 + 0.4 * (1 - np.cos(np.radians(30))) / 2, abs=0.03)
    # Deviation in each of two directions: the mean square distance is twice its square.
    assert np.sqrt((distance[distance < 24] ** 2).mean() / 2) == pytest.approx(8.0, rel=0.12)


def test_damage_follows_the_published_curve():
    k = np.array([0.05, 0.1, 0.25, 0.4])
    assert dose.critical_dose_e_per_A2(k, 300.0) == pytest.approx(0.245 * k**-1.665 + 2.81)
    assert dose.critical_dose_e_per_A2(k, 200.0) == pytest.approx(0.8 * (0.245 * k**-1.665 + 2.81))
    fine = np.linspace(6, 9, 2001)
    for found, one in zip(dose.amplitude_left(k, 6.0, 9.0, 300.0), k, strict=True):
        critical = 0.245 * one**-1.665 + 2.81
        assert found == pytest.approx(np.exp(-fine / 2 / critical).mean(), rel=1e-4)
    assert dose.amplitude_left(np.zeros(1), 10.0, 12.0, 300.0)[0] == 1.0
    with pytest.raises(InputError, match="100, 200 and 300 kV"):
        dose.critical_dose_e_per_A2(k, 120.0)


def test_ice_forgets_itself_as_molecules_wander():
    k = np.full((64, 33), 0.2)
    surroundings, doses = ice.Surroundings(), np.array([0.5, 0.5, 0.5])
    rng = np.random.default_rng(0)
    first, second, third = (
        w.copy() for w in ice.ice_frames(surroundings, (64, 64), k, 1.0, 300.0, doses, rng)
    )
    inner = np.s_[:, 1:32]

    def alike(a, b):
        return (a[inner] * b[inner].conj()).sum().real / (np.abs(a[inner]) ** 2).sum()

    step = np.exp(-2 * np.pi**2 * 0.5 / 3 * 0.2**2)
    assert alike(first, second) == pytest.approx(step, abs=0.04)
    assert alike(first, third) == pytest.approx(step**2, abs=0.04)
    white = 64 * np.sqrt(scattering.ice_phase_power_A2(np.array([0.2]), 400.0, 300.0)) * 2
    expected = (white**2 * ice.blur_power(np.array([0.2]), 0.5))[0]
    assert (np.abs(first[inner]) ** 2).mean() == pytest.approx(expected, rel=0.06)


def test_a_smooth_field_moves_content_where_it_says():
    y, x = np.indices((64, 80), float)
    blob = np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / 18).astype(np.float32)
    found = ice.moved(blob, np.full((1, 1), 3.4), np.full((1, 1), -2.7))
    wanted = np.exp(-((x - 43.4) ** 2 + (y - 27.3) ** 2) / 18)
    assert np.abs(found - wanted).max() < 0.01


def test_motion_begins_at_nothing_and_slows_down():
    size = motion.MotionSize(30.0, 5.0, 2.0, 8.0)
    rng = np.random.default_rng(5)
    drawn = motion.random_motion(size, 20, 1.5, 9, (512, 768), 1.5, rng)
    where = rng.uniform(0, 500, (9, 2))
    assert not drawn.of_particles_px(0, where).any()
    steps = np.linalg.norm(np.diff(drawn.drift_px, axis=0), axis=1)
    assert (np.diff(steps) < 0).all()
    assert steps.sum() * 1.5 == pytest.approx(30.0, rel=0.02)
    y, x = np.mgrid[0:512:9, 0:768:9].astype(float)
    local = np.hypot(*drawn.local_px(19, x, y)) * 1.5
    assert np.sqrt((local**2).mean()) == pytest.approx(5.0, rel=0.1)


def test_the_detector_counts_as_poisson_and_the_gain_flattens():
    rng = np.random.default_rng(2)
    shape = (128, 160)
    flawed = detector.random_detector(shape, 4.0, rng)
    even = np.full(shape, 4.0, np.float32)
    raw = np.stack([flawed.expose(even, detector.Transfer(), rng) for _ in range(150)]).astype(
        float
    )
    good = flawed.gain > 0
    x, y = flawed.hot_px.T
    assert (raw[:, y, x].mean(0) > 20).all()
    good[y, x] = False
    for left, low, width, height in flawed.defects:
        assert not raw[:, low : low + height, left : left + width].any()
        good[low : low + height, left : left + width] = False
    assert raw[:, flawed.gain == 0].sum() == 0
    mean, variance = raw.mean(0)[good], raw.var(0)[good]
    assert (variance / mean).mean() == pytest.approx(1.0, abs=0.02)
    flat = mean * flawed.gain[good]
    assert mean.std() > 0.2
    assert flat.std() < 1.15 * np.sqrt(4.0 / 150)  # nothing but counting is left
    assert flat.mean() == pytest.approx(4.0, rel=0.02)


def test_the_detector_blurs_by_its_mtf(tmp_path):
    path = tmp_path / "mtf.star"
    path.write_text(
        "\ndata_\n\nloop_ \n_rlnResolutionInversePixel #1 \n_rlnMtfValue #2 \n0 1\n0.5 0.2\n\n"
    )
    wave = np.cos(2 * np.pi * 0.25 * np.arange(64))[None].repeat(64, 0).astype(np.float32)
    found = detector.seen(10 + wave, detector.Transfer(str(path)))
    np.testing.assert_allclose(found, 10 + 0.6 * wave, atol=1e-4)
    perfect = detector.seen(10 + wave, detector.Transfer(perfect=True))
    np.testing.assert_allclose(perfect, 10 + wave, atol=1e-4)


def test_the_shipped_chain_builds_the_tetramer():
    chain = atoms.read_atoms(atoms.SHIPPED)
    built = atoms.read_atoms(atoms.SHIPPED, assembly="1")
    turned = chain.symmetrised("D2")
    assert len(chain) == 8230
    assert len(built) == len(turned) == 4 * 8230
    assert np.abs(built.centre_A).max() < 1e-3
    one, other = (np.sort(m.positions_A.round(2) + 0.0, 0) for m in (built, turned))
    np.testing.assert_allclose(one, other, atol=0.02)
    # No two atoms of different chains clash: the operators are right.
    from scipy.spatial import cKDTree

    copies = [chain.positions_A @ m.T for m in rotations.operators("D2")]
    assert min(cKDTree(copies[0]).query(copy)[0].min() for copy in copies[1:]) > 2.0


def test_the_shipped_chain_is_that_of_the_deposited_model(data):
    deposited = atoms.read_atoms(data / "models" / "5a1a.pdb")
    shipped = atoms.read_atoms(atoms.SHIPPED, assembly="1")
    centred = deposited.moved(-deposited.centre_A)
    from scipy.spatial import cKDTree

    distance = cKDTree(centred.positions_A).query(shipped.positions_A)[0]
    assert len(deposited) == len(shipped)
    assert distance.max() < 0.02


def test_of_alternate_locations_the_most_occupied_is_kept_and_told(tmp_path):
    path = tmp_path / "alt.pdb"
    path.write_text(
        pdb_line(1, " N", "N")
        + pdb_line(2, " CA", "C", (5, 0, 0), "A", 0.3)
        + pdb_line(3, " CA", "C", (9, 0, 0), "B", 0.7)
        + "END\n"
    )
    found = atoms.read_atoms(path)
    assert len(found) == 2
    assert found.positions_A[1].tolist() == [9, 0, 0]
    assert found.occupancy[1] == pytest.approx(1.0)
    assert "2 atoms are at alternate locations" in found.notes[0]


def test_waters_are_left_out(tmp_path):
    path = tmp_path / "wet.pdb"
    path.write_text(pdb_line(1, " N", "N") + pdb_line(2, " O", "O", residue="HOH") + "END\n")
    assert len(atoms.read_atoms(path)) == 1
    assert len(atoms.read_atoms(path, keep_waters=True)) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("HEADER    NOTHING\nEND\n", "no atoms"),
        (pdb_line(1, " O", "O", residue="HOH") + "END\n", r"1 waters are left out"),
        (pdb_line(1, " XX", "X") + "END\n", "element of 1 of 1 atoms"),
        (pdb_line(1, " N", "N", occ=0.0) + "END\n", "occupancy of every atom is 0"),
    ],
)
def test_a_model_that_shows_nothing_is_refused(tmp_path, text, told):
    path = tmp_path / "model.pdb"
    path.write_text(text)
    with pytest.raises(FormatError, match=told):
        atoms.read_atoms(path)


def test_a_broken_packed_model_is_refused(tmp_path):
    path = tmp_path / "broken.cif.gz"
    path.write_bytes(gzip.compress(b"data_x\nloop_\n_atom_site.id\n"))
    with pytest.raises(FormatError, match=r"cannot be read|no atoms"):
        atoms.read_atoms(path)
