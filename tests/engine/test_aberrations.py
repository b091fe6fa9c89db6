"""Zernike terms, the odd phase plate and the MTF (formats.md section 7)."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_ctf import apply_odd_zernikes

from vitreous.engine import aberrations, ctf, fourier, geometry
from vitreous.engine.ctf import Defocus, Optics


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


K = fourier.frequencies(24, 2, torch.float64) / 1.3
RHO, PHI = K.norm(dim=-1), torch.atan2(K[..., 1], K[..., 0])


def test_the_order_of_even_terms() -> None:
    found = [aberrations.even_order(index) for index in range(9)]
    assert found == [
        (0, 0), (-2, 2), (0, 2), (2, 2), (-4, 4), (-2, 4), (0, 4), (2, 4), (4, 4),
    ]  # fmt: skip


def test_the_order_of_odd_terms() -> None:
    found = [aberrations.odd_order(index) for index in range(12)]
    assert found == [
        (-1, 1), (1, 1), (-3, 3), (-1, 3), (1, 3), (3, 3),
        (-5, 5), (-3, 5), (-1, 5), (1, 5), (3, 5), (5, 5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("m", "n", "expected"),
    [
        (0, 0, torch.ones_like(RHO)),
        (1, 1, RHO * torch.cos(PHI)),
        (-1, 1, RHO * torch.sin(PHI)),
        (0, 2, 2 * RHO**2 - 1),
        (-2, 2, RHO**2 * torch.sin(2 * PHI)),
        (-1, 3, (3 * RHO**3 - 2 * RHO) * torch.sin(PHI)),
        (3, 3, RHO**3 * torch.cos(3 * PHI)),
        (0, 4, 6 * RHO**4 - 6 * RHO**2 + 1),
        (2, 4, (4 * RHO**4 - 3 * RHO**2) * torch.cos(2 * PHI)),
        (-4, 4, RHO**4 * torch.sin(4 * PHI)),
    ],
)
def test_zernike_polynomials(m: int, n: int, expected: Tensor) -> None:
    torch.testing.assert_close(aberrations.zernike(m, n, K), expected)


def test_odd_terms_are_odd_and_even_terms_are_even() -> None:
    odd = aberrations.odd_phase(values(*range(1, 13)), values(0.3, -0.2), values(600.0)[0], K)
    turned = aberrations.odd_phase(values(*range(1, 13)), values(0.3, -0.2), values(600.0)[0], -K)
    torch.testing.assert_close(odd, -turned)
    even = [aberrations.even_phase(values(*range(1, 10)), k) for k in (K, -K)]
    torch.testing.assert_close(even[0], even[1])


OPTICS = Optics.of(pixel_size_A=1.5, box_px=32)
COMA = replace(
    OPTICS,
    beam_tilt_mrad=values(0.5, -0.8)[None],
    odd_zernike=values(2, -3, 20, 0, 0, 15)[None],
)


def test_beam_tilt_is_coma() -> None:
    tilted = replace(OPTICS, beam_tilt_mrad=values(0.1, 0.0)[None])
    k = OPTICS.k_per_A(32, 0)
    wavelength = float(OPTICS.wavelength_A()[0])
    angle = -2 * torch.pi * 2.7e7 * wavelength**2 * (k**2).sum(-1) * k[..., 0] * 1e-4
    plate = ctf.odd_phase_plate(tilted, 32, torch.float64)
    torch.testing.assert_close(plate[0], torch.polar(torch.ones_like(angle), angle))
    torch.testing.assert_close(
        ctf.odd_phase_plate(tilted, 32).to(torch.complex128), plate, atol=1e-6, rtol=0
    )


def test_torch_ctf_agrees_on_odd_terms() -> None:
    """rho^3 cos phi = (Z(1,3) + 2 Z(1,1)) / 3; the witness counts beam tilt the other way."""
    odd = torch.zeros(6, dtype=torch.float64)
    # Order: (-1,1) (1,1) (-3,3) (-1,3) (1,3) (3,3)
    odd[[0, 3]] = values(2, 1) / 3 * 12.0
    odd[[1, 4]] = values(2, 1) / 3 * 25.0
    odd[2], odd[5] = 7.0, -30.0
    named = {"Z31s": 12.0, "Z31c": 25.0, "Z33s": 7.0, "Z33c": -30.0}
    volts, cs = torch.tensor(300.0), torch.tensor(2.7)
    theirs = apply_odd_zernikes(named, RHO, PHI, volts, cs)
    found = aberrations.odd_phase(odd, values(0, 0), values(1.0)[0], K)
    torch.testing.assert_close(found, theirs)
    tilt = torch.tensor([0.2, -0.3])
    theirs = apply_odd_zernikes(None, RHO, PHI, volts, cs, beam_tilt_mrad=tilt)
    strength = OPTICS.coma_strength()[0]
    found = aberrations.odd_phase(values(), tilt.double(), strength, K)
    torch.testing.assert_close(-found, theirs, atol=1e-4, rtol=1e-4)


def test_the_mtf_is_linear_between_its_points_and_held_outside() -> None:
    table, value = values(0.1, 0.2, 0.4), values(0.9, 0.7, 0.3)
    k = values(0.0, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
    expected = values(0.9, 0.9, 0.8, 0.7, 0.5, 0.3, 0.3)
    torch.testing.assert_close(aberrations.mtf(table, value, k), expected)


def test_the_mtf_counts_pixels_of_the_detector() -> None:
    """A box binned twice reaches only half of the table."""
    table, value = values(0.0, 0.5), values(1.0, 0.0)
    binned = aberrations.mtf_image(table, value, 16, box_A=16 * 3.0, detector_pixel_A=1.5)
    assert float(binned[0, 0]) == 1.0
    assert float(binned[0, 8]) == pytest.approx(0.5)
    assert float(binned[8, 0]) == pytest.approx(0.5)


def write_particles(folder: Path, optics: Optics, images: Tensor, angles: Tensor) -> None:
    import mrcfile

    with mrcfile.new(folder / "x.mrcs", data=images.numpy().astype(np.float32)) as file:
        file.voxel_size = 1.5
    odd = "[" + ",".join(str(c) for c in optics.odd_zernike[0].tolist()) + "]"
    tilt = " ".join(str(c) for c in optics.beam_tilt_mrad[0].tolist())
    labels = "OpticsGroup OpticsGroupName Voltage SphericalAberration AmplitudeContrast"
    labels += " ImagePixelSize ImageSize ImageDimensionality BeamTiltX BeamTiltY OddZernike"
    rows = "ImageName AngleRot AngleTilt AnglePsi DefocusU DefocusV DefocusAngle OpticsGroup"
    lines = ["data_optics", "", "loop_", *(f"_rln{label}" for label in labels.split())]
    lines += [f"1 one 300 2.7 0.1 1.5 32 2 {tilt} {odd}", "", "data_particles", "", "loop_"]
    lines += [f"_rln{label}" for label in rows.split()]
    for number, angle in enumerate(angles.tolist()):
        rot, tilt_deg, psi = angle
        lines.append(f"{number + 1:06d}@x.mrcs {rot} {tilt_deg} {psi} 9000 9000 0 1")
    (folder / "in.star").write_text("\n".join(lines) + "\n")


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("sign", [1, -1])
def test_relion_reconstruct_undoes_our_odd_phases(tmp_path: Path, sign: int) -> None:
    """Aberrated images of a delta come back as a delta, and only with our sign.

    Z(-1,3) and Z(1,3) are left at zero: where beam tilt columns exist, 3.1.3 ignores them.
    """
    import mrcfile

    poses = geometry.random_rotations(150, torch.Generator().manual_seed(1), torch.float64)
    images = ctf.ctf(OPTICS, Defocus.of(values(9000.0)), 32) * ctf.odd_phase_plate(COMA, 32)
    real = fourier.inverse(images if sign > 0 else images.conj().resolve_conj(), 2)
    write_particles(tmp_path, COMA, real.expand(150, 32, 32), geometry.euler_from_matrix(poses))
    command = "relion_reconstruct --i in.star --o rec.mrc --ctf --skip_gridding"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    volume = torch.from_numpy(mrcfile.read(tmp_path / "rec.mrc").astype(np.float64))
    half = fourier.forward(volume, 3)[fourier.shell_index(32, 3) < 13]
    flatness = float(half.real.mean() / half.abs().mean())
    assert flatness > 0.999 if sign > 0 else flatness < 0.9
