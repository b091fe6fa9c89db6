"""The CTF against its formula, `relion_project` and torch-ctf (formats.md section 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch_ctf import calculate_ctf_2d

from vitreous.engine import ctf, fourier
from vitreous.engine.ctf import Defocus, Optics, Treatment


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


OPTICS = Optics.of(pixel_size_A=1.5, box_px=32, voltage_kV=200.0, cs_mm=1.4, amplitude_contrast=0.1)
IMAGES = Defocus(
    defocus_u_A=values(15000, 9000, 25000),
    defocus_v_A=values(12000, 9500, 24000),
    astigmatism_deg=values(25, -70, 60),
    phase_shift_deg=values(0, 30, 90),
    bfactor_A2=values(0, 40, 0),
    scale=values(1, 0.8, 1.1),
)
ABERRATED = replace(
    OPTICS,
    beam_tilt_mrad=values(0.5, -0.8)[None],
    odd_zernike=values(1, -2, 20, 30, -15, 10)[None],
    even_zernike=values(0.3, -2, 1.5, 0.7, 30, -40, 60, 20, -10)[None],
    magnification=values(1.03, 0.02, -0.01, 0.97).reshape(1, 2, 2),
)


def by_hand(optics: Optics, defocus: Defocus, size: int) -> tuple[Tensor, Tensor]:
    """gamma and CTF with angles and lengths, as the formula is written."""
    k = fourier.frequencies(size, 2, torch.float64) * size
    k = k / (optics.box_px[0] * optics.pixel_size_A[0])
    length, phi = k.norm(dim=-1), torch.atan2(k[..., 1], k[..., 0])
    volts = float(optics.voltage_kV[0]) * 1e3
    wavelength = 12.2643247 / (volts * (1 + 0.978466e-6 * volts)) ** 0.5
    q0 = float(optics.amplitude_contrast[0])
    gammas, functions = [], []
    for u, v, angle, shift, bfactor, scale in zip(
        *(getattr(defocus, name) for name in defocus.__dataclass_fields__), strict=True
    ):
        alpha = torch.deg2rad(angle)
        z = u * torch.cos(phi - alpha) ** 2 + v * torch.sin(phi - alpha) ** 2
        gamma = -torch.pi * wavelength * z * length**2
        gamma += torch.pi / 2 * float(optics.cs_mm[0]) * 1e7 * wavelength**3 * length**4
        gamma -= torch.deg2rad(shift) + torch.asin(torch.tensor(q0, dtype=torch.float64))
        gammas.append(gamma)
        functions.append(-torch.sin(gamma) * scale * torch.exp(-bfactor * length**2 / 4))
    return torch.stack(gammas), torch.stack(functions)


def test_ctf_is_the_formula() -> None:
    gamma, function = by_hand(OPTICS, IMAGES, 32)
    torch.testing.assert_close(ctf.gamma_rad(OPTICS, IMAGES, 32), gamma)
    torch.testing.assert_close(ctf.ctf(OPTICS, IMAGES, 32, dtype=torch.float64), function)


def test_at_zero_frequency_the_value_is_the_amplitude_contrast() -> None:
    found = ctf.ctf(OPTICS, Defocus.of(values(10000)), 32)
    assert float(found[0, 0, 0]) == pytest.approx(0.1, abs=1e-6)
    assert bool((found[0, 0, 1:3] > 0.1).all())


def test_defocus_u_lies_along_the_astigmatism_angle() -> None:
    """The first zero comes at a lower frequency where the defocus is higher."""
    along_y = Defocus.of(values(20000), values(10000), values(90))
    gamma = ctf.gamma_rad(OPTICS, along_y, 32)[0]
    assert float(gamma[8, 0]) < 1.9 * float(gamma[0, 8]) < 0


def test_single_precision_is_exact_at_thousands_of_radians() -> None:
    optics = replace(OPTICS, pixel_size_A=values(0.5), box_px=values(256))
    far = Defocus.of(values(50000, 30000), values(48000, 31000), values(10, 80))
    exact = ctf.ctf(optics, far, 256, dtype=torch.float64)
    assert float(ctf.gamma_rad(optics, far, 256).abs().max()) > 5000
    assert float((ctf.ctf(optics, far, 256) - exact).abs().max()) < 1e-6


@pytest.mark.parametrize("size", [32, 31, 20, 15])
def test_a_cropped_transform_keeps_the_frequencies_of_its_box(size: int) -> None:
    whole = ctf.ctf(ABERRATED, IMAGES, 32, dtype=torch.float64)
    cropped = fourier.crop(whole.to(torch.complex128), size, 2).real
    torch.testing.assert_close(ctf.ctf(ABERRATED, IMAGES, size, dtype=torch.float64), cropped)


def test_a_batch_over_groups_is_its_images_one_by_one() -> None:
    other = replace(ABERRATED, pixel_size_A=values(2.1), box_px=values(24), voltage_kV=values(300))
    both = Optics(*(torch.cat([getattr(o, f) for o in (ABERRATED, other)]) for f in FIELDS))
    group = torch.tensor([1, 0, 1])
    found = ctf.ctf(both, IMAGES, 20, group=group)
    phases = ctf.gamma_rad(both, IMAGES, 20, group=group)
    for row in range(3):
        optics = (ABERRATED, other)[int(group[row])]
        one = IMAGES.select(torch.tensor([row]))
        torch.testing.assert_close(found[[row]], ctf.ctf(optics, one, 20))
        torch.testing.assert_close(phases[[row]], ctf.gamma_rad(optics, one, 20))
    assert ctf.odd_phase_plate(both, 20).shape == (2, 20, 11)


FIELDS = tuple(Optics.__dataclass_fields__)


def test_an_empty_batch() -> None:
    nothing = Defocus.of(values())
    assert ctf.ctf(OPTICS, nothing, 32).shape == (0, 32, 17)
    assert ctf.gamma_rad(OPTICS, nothing, 32).shape == (0, 32, 17)
    padded = ctf.ctf(OPTICS, nothing, 32, treatment=Treatment(padded=True))
    assert padded.shape == (0, 32, 17)


def test_phase_flipped_and_premultiplied_data() -> None:
    plain = ctf.ctf(OPTICS, IMAGES, 32)

    def treated(**how: bool) -> Tensor:
        return ctf.ctf(OPTICS, IMAGES, 32, treatment=Treatment(**how))

    assert torch.equal(treated(phase_flipped=True), plain.abs())
    assert torch.equal(treated(premultiplied=True), plain**2)
    signs = treated(only_flip_phases=True)
    assert torch.equal(signs, plain.sign())
    assert set(signs.unique().tolist()) == {-1.0, 1.0}


def test_the_first_peak_stays_intact_with_its_damping() -> None:
    damped = replace(IMAGES, bfactor_A2=values(30, 40, 50))
    found = ctf.ctf(
        OPTICS, damped, 32, treatment=Treatment(intact_first_peak=True), dtype=torch.float64
    )
    gamma, function = by_hand(OPTICS, damped, 32)
    envelope = function / -torch.sin(gamma)
    first = gamma.abs() < torch.pi / 2
    assert bool(first.any())
    torch.testing.assert_close(found[first], envelope[first])
    torch.testing.assert_close(found[~first], function[~first])


def test_values_never_vanish() -> None:
    flat = replace(OPTICS, amplitude_contrast=values(0.0))
    found = ctf.ctf(flat, Defocus.of(values(10000)), 32)
    assert float(found[0, 0, 0]) == pytest.approx(1e-8)
    nothing = replace(IMAGES, scale=values(0, 0, 0))
    assert float(ctf.ctf(OPTICS, nothing, 32).abs().min()) == pytest.approx(1e-8)


def test_padding_agrees_with_the_plain_ctf_where_it_oscillates_slowly() -> None:
    near = Defocus.of(values(3000.0))
    plain = ctf.ctf(OPTICS, near, 32, dtype=torch.float64)
    padded = ctf.ctf(OPTICS, near, 32, treatment=Treatment(padded=True), dtype=torch.float64)
    low = fourier.shell_index(32, 2) < 10
    assert float((plain - padded)[0][low].abs().max()) < 0.05
    torch.testing.assert_close(
        padded[0, 1:, 0], padded[0, 1:, 0].flip(0), msg="the cut function is even in k"
    )


@pytest.mark.parametrize(
    ("how", "factor"),
    [
        (Treatment(padded=True), 2),
        (Treatment(phase_flipped=True, padded=True), 2),
        (Treatment(premultiplied=True, padded=True), 4),
    ],
)
def test_padding_is_the_wide_ctf_cut_in_real_space(how: Treatment, factor: int) -> None:
    """One pixel of the padded CTF, by the definition: a smoothing of the finely sampled one."""
    optics = replace(OPTICS, box_px=values(16))
    one = Defocus.of(values(20000.0))
    fine_box = replace(optics, box_px=values(16.0 * factor))
    fine = ctf.ctf(fine_box, one, 16 * factor, treatment=replace(how, padded=False))
    image = fourier.inverse(fine.to(torch.complex128), 2)
    half = 16 * (factor - 1) // 2
    cut = image[:, half : half + 16, half : half + 16]
    expected = (fourier.forward(cut, 2) * 16**2).real / (16 * factor) ** 2
    found = ctf.ctf(optics, one, 16, treatment=how, dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_padding_keeps_the_mean_square_of_a_ctf_too_fast_for_its_box() -> None:
    # Where the CTF oscillates faster than the box can tell, its square keeps its mean.
    fast = Defocus.of(values(60000.0))
    high = fourier.shell_index(32, 2) == 16
    how = Treatment(premultiplied=True, padded=True)
    square = ctf.ctf(OPTICS, fast, 32, treatment=how)[0][high]
    signed = ctf.ctf(OPTICS, fast, 32, treatment=Treatment(padded=True))[0][high]
    assert abs(float(square.mean()) - 0.5) < 0.1
    assert float(signed.abs().mean()) < 0.35


def witness(optics: Optics, defocus: Defocus, **more: object) -> Tensor:
    """torch-ctf: micrometres, mean and half difference of the defoci."""
    u, v = defocus.defocus_u_A * 1e-4, defocus.defocus_v_A * 1e-4
    found: Tensor = calculate_ctf_2d(
        defocus=((u + v) / 2).float(),
        astigmatism=((u - v) / 2).float(),
        astigmatism_angle=defocus.astigmatism_deg.float(),
        voltage=float(optics.voltage_kV[0]),
        spherical_aberration=float(optics.cs_mm[0]),
        amplitude_contrast=float(optics.amplitude_contrast[0]),
        phase_shift=defocus.phase_shift_deg.float(),
        pixel_size=float(optics.pixel_size_A[0]),
        image_shape=(32, 32),
        rfft=True,
        fftshift=False,
        **more,
    )
    return found


# torch-ctf computes in single precision and takes its wavelength from other constants.
WITNESS_TOLERANCE = 3e-3
ASTIGMATIC = replace(
    Defocus.of(values(15000, 22000), values(12000, 21000), values(25, -70)),
    phase_shift_deg=values(0, 30),
)


def but_the_nyquist_rows(half: Tensor) -> Tensor:
    """torch-ctf puts the Nyquist row on the negative side."""
    return torch.cat([half[:, :16], half[:, 17:]], 1)


def test_torch_ctf_agrees() -> None:
    found = ctf.ctf(OPTICS, ASTIGMATIC, 32)
    difference = but_the_nyquist_rows(found - witness(OPTICS, ASTIGMATIC))
    assert float(difference.abs().max()) < WITNESS_TOLERANCE


def test_torch_ctf_agrees_on_even_zernike_terms() -> None:
    """rho^4 cos 2phi = (Z(2,4) + 3 Z(2,2)) / 4, and rho^4 cos 4phi = Z(4,4)."""
    even = torch.zeros(1, 9, dtype=torch.float64)
    # Order: (0,0) (-2,2) (0,2) (2,2) (-4,4) (-2,4) (0,4) (2,4) (4,4)
    even[0, [1, 5]] = values(3, 1) / 4 * 40.0
    even[0, [3, 7]] = values(3, 1) / 4 * 25.0
    even[0, [4, 8]] = values(15, -30)
    found = ctf.ctf(replace(OPTICS, even_zernike=even), ASTIGMATIC, 32)
    named = {"Z42s": 40.0, "Z42c": 25.0, "Z44s": 15.0, "Z44c": -30.0}
    difference = found - witness(OPTICS, ASTIGMATIC, even_zernike_coeffs=named)
    assert float(but_the_nyquist_rows(difference).abs().max()) < WITNESS_TOLERANCE


def write_star(path: object, optics: Optics, defocus: Defocus, box: int) -> None:
    """One optics group, all of its terms, poses at zero."""
    listed = [
        "[" + ",".join(str(float(c)) for c in row[0]) + "]"
        for row in (optics.odd_zernike, optics.even_zernike)
    ]
    group = {
        "OpticsGroup": 1, "OpticsGroupName": "one", "Voltage": float(optics.voltage_kV[0]),
        "SphericalAberration": float(optics.cs_mm[0]),
        "AmplitudeContrast": float(optics.amplitude_contrast[0]),
        "ImagePixelSize": float(optics.pixel_size_A[0]), "ImageSize": box,
        "ImageDimensionality": 2, "OddZernike": listed[0], "EvenZernike": listed[1],
        **{f"MagMat{i}{j}": float(optics.magnification[0, i, j]) for i in (0, 1) for j in (0, 1)},
    }  # fmt: skip
    columns = ("DefocusU", "DefocusV", "DefocusAngle", "PhaseShift", "CtfBfactor", "CtfScalefactor")
    table = torch.stack([getattr(defocus, name) for name in defocus.__dataclass_fields__], 1)
    labels = ["ImageName", "AngleRot", "AngleTilt", "AnglePsi", *columns, "OpticsGroup"]
    lines = ["data_optics", "", "loop_", *(f"_rln{label}" for label in group)]
    lines += [" ".join(map(str, group.values())), "", "data_particles", "", "loop_"]
    lines += [f"_rln{label}" for label in labels]
    for number, row in enumerate(table.tolist()):
        lines.append(f"{number + 1:06d}@none.mrcs 0 0 0 {' '.join(map(str, row))} 1")
    with open(path, "w") as file:  # type: ignore[call-overload]  # a path
        file.write("\n".join(lines) + "\n")


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("aberrated", [False, True])
@pytest.mark.parametrize("flags", ["", "--ctf_phase_flip", "--ctf_intact_first_peak", "--ctf2"])
def test_relion_project_agrees(tmp_path: object, aberrated: bool, flags: str) -> None:
    """The projection of a delta map is the CTF itself."""
    import subprocess

    import mrcfile
    import numpy as np

    optics = replace(
        ABERRATED if aberrated else OPTICS,
        odd_zernike=torch.zeros(1, 6, dtype=torch.float64),
        beam_tilt_mrad=torch.zeros(1, 2, dtype=torch.float64),
    )
    delta = np.zeros((32, 32, 32), np.float32)
    delta[16, 16, 16] = 1
    with mrcfile.new(f"{tmp_path}/delta.mrc", data=delta) as file:
        file.voxel_size = 1.5
    write_star(f"{tmp_path}/in.star", optics, IMAGES, 32)
    command = f"relion_project --i delta.mrc --o out --ang in.star --ctf --angpix 1.5 {flags}"
    subprocess.run(command.split(), cwd=str(tmp_path), check=True, capture_output=True)
    images = torch.from_numpy(mrcfile.read(f"{tmp_path}/out.mrcs").astype(np.float64))
    theirs = fourier.forward(images, 2) * 32**2
    treatment = Treatment(
        phase_flipped=flags == "--ctf_phase_flip",
        intact_first_peak=flags == "--ctf_intact_first_peak",
        premultiplied=flags == "--ctf2",
    )
    ours = ctf.ctf(optics, IMAGES, 32, treatment=treatment, dtype=torch.float64)
    inside = fourier.shell_index(32, 2) < 15
    assert float((theirs - ours)[:, inside].abs().max()) < 2e-6
