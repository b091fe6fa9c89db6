"""Contrast transfer function of images, in batches over optics groups.

The formula is that of formats.md section 7 and refinement.md section 1.8::

    gamma = -pi lambda z(k) k^2 + (pi/2) Cs lambda^3 k^4 - phase shift - atan(Q0 / sqrt(1 - Q0^2))
            + even Zernike terms
    CTF   = -sin(gamma) scale exp(-B k^2 / 4)

with k in 1/A after the anisotropic magnification and z(k) the defocus in the direction of k.
gamma reaches thousands of radians, more than float32 can tell apart: it is summed in double
precision as one matrix product, counted in turns, and loses its whole turns before the sine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import aberrations, fourier
from vitreous.engine.kernels import transfer

SMALLEST = 1e-8
IN_CACHE = 2**17  # pixels worked on at a time


@dataclass(frozen=True)
class Optics:
    """What images of one optics group share; one row a group, all in double precision.

    Parameters
    ----------
    pixel_size_A, box_px
        ``g``; sampling and side of the *full* box. A cropped transform keeps its frequencies.
    voltage_kV, cs_mm, amplitude_contrast
        ``g``
    beam_tilt_mrad
        ``g 2``, components x y.
    odd_zernike, even_zernike
        ``g o`` and ``g e``, any number of coefficients.
    magnification
        ``g 2 2``; frequencies k are evaluated at ``M k``.
    """

    pixel_size_A: Float[Tensor, " g"]
    box_px: Float[Tensor, " g"]
    voltage_kV: Float[Tensor, " g"]
    cs_mm: Float[Tensor, " g"]
    amplitude_contrast: Float[Tensor, " g"]
    beam_tilt_mrad: Float[Tensor, "g 2"]
    odd_zernike: Float[Tensor, "g o"]
    even_zernike: Float[Tensor, "g e"]
    magnification: Float[Tensor, "g 2 2"]

    @classmethod
    def of(
        cls,
        *,
        pixel_size_A: float,
        box_px: int,
        voltage_kV: float = 300.0,
        cs_mm: float = 2.7,
        amplitude_contrast: float = 0.1,
    ) -> Optics:
        """Return one group of a microscope without aberrations; add them with `replace`."""
        numbers = (pixel_size_A, box_px, voltage_kV, cs_mm, amplitude_contrast)
        first = [torch.tensor([float(number)], dtype=torch.float64) for number in numbers]
        empty = torch.zeros(1, 0, dtype=torch.float64)
        tilt = torch.zeros(1, 2, dtype=torch.float64)
        straight = torch.eye(2, dtype=torch.float64)[None]
        return cls(first[0], first[1], first[2], first[3], first[4], tilt, empty, empty, straight)

    def __len__(self) -> int:
        """Return the number of groups."""
        return len(self.pixel_size_A)

    def wavelength_A(self) -> Float[Tensor, " g"]:
        """Return the relativistic wavelength of the electrons."""
        volts = self.voltage_kV * 1e3
        return 12.2643247 / torch.sqrt(volts * (1 + 0.978466e-6 * volts))

    def coma_strength(self) -> Float[Tensor, " g"]:
        """Return the spherical aberration times the square of the wavelength, in A^3."""
        return self.cs_mm * 1e7 * self.wavelength_A() ** 2

    def k_per_A(self, size: int, group: int) -> Float[Tensor, "y xh c"]:
        """Return the frequencies of a half transform of a group, after its magnification."""
        index = fourier.indices(size, 2, self.box_px.device).to(torch.float64)
        plain = index / (self.box_px[group] * self.pixel_size_A[group])
        return plain @ self.magnification[group].T

    def to(self, device: torch.device | str) -> Optics:
        """Return the same optics on another device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Defocus:
    """What each image has of its own; all fields ``n``, in double precision.

    Parameters
    ----------
    defocus_u_A, defocus_v_A
        Underfocus positive.
    astigmatism_deg
        Angle from x towards y to the direction of `defocus_u_A`.
    phase_shift_deg
        Of a phase plate.
    bfactor_A2
        Damping ``exp(-B k^2 / 4)``.
    scale
        Factor of the whole function.
    """

    defocus_u_A: Float[Tensor, " n"]
    defocus_v_A: Float[Tensor, " n"]
    astigmatism_deg: Float[Tensor, " n"]
    phase_shift_deg: Float[Tensor, " n"]
    bfactor_A2: Float[Tensor, " n"]
    scale: Float[Tensor, " n"]

    @classmethod
    def of(
        cls,
        defocus_u_A: Float[Tensor, " n"],
        defocus_v_A: Float[Tensor, " n"] | None = None,
        astigmatism_deg: Float[Tensor, " n"] | None = None,
    ) -> Defocus:
        """Return images with no phase shift, no damping and unit scale."""
        u = defocus_u_A.to(torch.float64)
        zero, one = torch.zeros_like(u), torch.ones_like(u)
        v = u if defocus_v_A is None else defocus_v_A.to(torch.float64)
        angle = zero if astigmatism_deg is None else astigmatism_deg.to(torch.float64)
        return cls(u, v, angle, zero, zero, one)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.defocus_u_A)

    def select(self, rows: Tensor) -> Defocus:
        """Return some of the images: a mask, or their numbers."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to(self, device: torch.device | str) -> Defocus:
        """Return the same values on another device."""
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Treatment:
    """How the data were treated, or are to be treated, with their CTF.

    Parameters
    ----------
    phase_flipped
        The data are phase-flipped: the absolute value.
    only_flip_phases
        Correct signs only: +1 and -1.
    intact_first_peak
        The sine is taken as 1 up to the first extremum (``|gamma| < pi / 2``); damping stays.
    premultiplied
        The data were multiplied by their CTF: the square.
    padded
        Evaluate in a box twice as wide (four times where `premultiplied`) and cut the
        point-spread function back: no aliasing of fast oscillations.
    """

    phase_flipped: bool = False
    only_flip_phases: bool = False
    intact_first_peak: bool = False
    premultiplied: bool = False
    padded: bool = False


PLAIN = Treatment()


def ctf(
    optics: Optics,
    defocus: Defocus,
    size: int,
    *,
    group: Int64[Tensor, " n"] | None = None,
    treatment: Treatment = PLAIN,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "n y xh"]:
    """Evaluate the CTF of images.

    Parameters
    ----------
    optics
        The optics groups.
    defocus
        The images.
    size
        Side of the image whose half transform is meant: the box of the groups, or less where the
        transform is cropped.
    group
        Row of `optics` of each image; all in the first row by default.
    treatment
        See `Treatment`.
    dtype
        Type of the result; either is accurate to its own precision at any defocus.

    Returns
    -------
    Tensor
        Values of at least 1e-8 in size, positive at low resolution for underfocus.
    """
    if treatment.padded:
        return _padded(optics, defocus, size, group, treatment, dtype)
    result = torch.empty(
        (len(defocus), size, size // 2 + 1), dtype=dtype, device=defocus.scale.device
    )
    in_one_pass = _in_one_pass(defocus, treatment, dtype)
    for row, images in _groups(optics, defocus, group):
        if in_one_pass:
            chosen = defocus.select(images)
            coefficients = phase_coefficients(optics, row, chosen)
            args = phase_terms(optics, row, size), coefficients, chosen.scale.to(dtype), SMALLEST
            result.index_copy_(0, images, _treated(transfer.evaluate(*args), treatment))
            continue
        k_per_A = optics.k_per_A(size, row)
        terms, k2 = _terms(optics, row, k_per_A), (k_per_A**2).sum(-1).to(dtype)
        for chunk in torch.split(images, max(1, IN_CACHE // k2.numel())):
            chosen = defocus.select(chunk)
            turns = phase_coefficients(optics, row, chosen) @ terms.flatten(1)
            sine = _sine(turns.reshape(-1, *k2.shape), treatment, dtype)
            result.index_copy_(0, chunk, _treat(sine * _envelope(chosen, k2), treatment))
    return result


def weigh_(
    transforms: Complex[Tensor, "n y xh"],
    along: tuple[Complex[Tensor, "n xh"], Complex[Tensor, "n y"]],
    terms: Float[Tensor, "5 y xh"],
    optics: Optics,
    row: int,
    defocus: Defocus,
) -> Float[Tensor, "n y xh"]:
    """Multiply transforms by phases and by their CTFs, in place; return the squares of the CTFs.

    The same as `ctf`, in one pass over the pixels, for images that are not treated nor damped.

    Parameters
    ----------
    transforms
        Of images of one optics group, complex64.
    along
        Factors of the columns and of the rows, such as `fourier.centring_phases`.
    terms
        `phase_terms` of the group.
    optics, row, defocus
        The group, and what its images differ in; B-factors are left out.
    """
    return transfer.weigh_(
        transforms,
        *along,
        terms,
        phase_coefficients(optics, row, defocus),
        defocus.scale.to(torch.float32),
        SMALLEST,
    )


def gamma_rad(
    optics: Optics,
    defocus: Defocus,
    size: int,
    *,
    group: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, "n y xh"]:
    """Return the phase gamma, in double precision: what the Ewald sphere and fits need."""
    result = defocus.scale.new_empty((len(defocus), size, size // 2 + 1))
    for row, images in _groups(optics, defocus, group):
        terms = _terms(optics, row, optics.k_per_A(size, row))
        turns = phase_coefficients(optics, row, defocus.select(images)) @ terms.flatten(1)
        result = result.index_put((images,), 2 * torch.pi * turns.reshape(-1, *result.shape[1:]))
    return result


def odd_phase_plate(
    optics: Optics, size: int, dtype: torch.dtype = torch.float32
) -> Complex[Tensor, "g y xh"]:
    """Return ``exp(i p)`` of the odd aberrations of each group.

    Predicted images are multiplied by it, measured ones by its conjugate.
    """
    strength = optics.coma_strength()
    phases = [
        aberrations.odd_phase(
            optics.odd_zernike[row],
            optics.beam_tilt_mrad[row],
            strength[row],
            optics.k_per_A(size, row),
        )
        for row in range(len(optics))
    ]
    empty = optics.box_px.new_empty((0, size, size // 2 + 1))
    stacked = torch.stack(phases) if phases else empty
    return aberrations.unit_phases(stacked / (2 * torch.pi), dtype)


def _groups(optics: Optics, defocus: Defocus, group: Tensor | None) -> Iterator[tuple[int, Tensor]]:
    """Yield each optics group that has images, with their numbers."""
    if group is None:
        yield 0, torch.arange(len(defocus), device=defocus.scale.device)
        return
    for row in range(len(optics)):
        images = torch.nonzero(group == row)[:, 0]
        if len(images):
            yield row, images


def phase_terms(optics: Optics, row: int, size: int) -> Float[Tensor, "5 y xh"]:
    """Return the functions of frequency that gamma is made of, for images of a group, float64."""
    return _terms(optics, row, optics.k_per_A(size, row))


def phase_coefficients(optics: Optics, row: int, defocus: Defocus) -> Float[Tensor, "n 5"]:
    """Return what multiplies each of the `phase_terms` to give gamma in turns, float64."""
    wavelength_A = optics.wavelength_A()[row]
    angle = torch.deg2rad(defocus.astigmatism_deg)
    u, v, cos, sin = defocus.defocus_u_A, defocus.defocus_v_A, angle.cos(), angle.sin()
    q0 = optics.amplitude_contrast[row]
    constant = -torch.deg2rad(defocus.phase_shift_deg) - torch.atan2(q0, torch.sqrt(1 - q0**2))
    per_image = torch.stack(
        [
            -torch.pi * wavelength_A * (u * cos**2 + v * sin**2),
            -torch.pi * wavelength_A * (u - v) * 2 * cos * sin,
            -torch.pi * wavelength_A * (u * sin**2 + v * cos**2),
            torch.ones_like(u),
            constant,
        ],
        -1,
    )
    return per_image / (2 * torch.pi)


def _terms(optics: Optics, row: int, k_per_A: Tensor) -> Tensor:
    """Return the functions of frequency that gamma is made of, ``5 y xh``."""
    kx, ky = k_per_A.unbind(-1)
    k4 = (kx**2 + ky**2) ** 2
    shared = torch.pi / 2 * optics.coma_strength()[row] * optics.wavelength_A()[row] * k4
    shared = shared + aberrations.even_phase(optics.even_zernike[row], k_per_A)
    return torch.stack([kx**2, kx * ky, ky**2, shared, torch.ones_like(kx)])


def _sine(turns: Tensor, treatment: Treatment, dtype: torch.dtype) -> Tensor:
    """Return ``-sin(gamma)``; whole turns go before the precision drops."""
    sine = torch.sin((turns - turns.round()).to(dtype) * (-2 * torch.pi))
    if treatment.intact_first_peak:
        sine = torch.where(turns.abs() < 0.25, torch.ones_like(sine), sine)
    return sine


def _envelope(defocus: Defocus, k2: Tensor) -> Tensor:
    """Return scale times damping; without any damping one number an image."""
    scale = defocus.scale.to(k2.dtype)[:, None, None]
    if not bool((defocus.bfactor_A2 != 0).any()):
        return scale
    return scale * torch.exp(defocus.bfactor_A2.to(k2.dtype)[:, None, None] * (-k2 / 4))


def _in_one_pass(defocus: Defocus, treatment: Treatment, dtype: torch.dtype) -> bool:
    """Tell whether the functions are plain sines that `kernels.transfer` evaluates."""
    damped = bool((defocus.bfactor_A2 != 0).any())
    return dtype == torch.float32 and not (damped or treatment.intact_first_peak)


def _treat(values: Tensor, treatment: Treatment) -> Tensor:
    """Keep values away from zero, then treat them as the data were."""
    size = values.abs().clamp(min=SMALLEST)
    return _treated(torch.where(values < 0, -size, size), treatment)


def _treated(values: Tensor, treatment: Treatment) -> Tensor:
    """Treat values that are away from zero as the data were."""
    if treatment.only_flip_phases:
        values = values.sign()
    elif treatment.phase_flipped:
        values = values.abs()
    return values**2 if treatment.premultiplied else values


def _padded(
    optics: Optics,
    defocus: Defocus,
    size: int,
    group: Tensor | None,
    treatment: Treatment,
    dtype: torch.dtype,
) -> Tensor:
    """Evaluate in wider boxes and cut the point-spread functions back to the box."""
    result = torch.empty(
        (len(defocus), size, size // 2 + 1), dtype=dtype, device=defocus.scale.device
    )
    factor = 4 if treatment.premultiplied else 2
    plain = replace(treatment, padded=False)
    for row, images in _groups(optics, defocus, group):
        box = int(optics.box_px[row])
        wide = replace(optics, box_px=optics.box_px * factor)
        rows = torch.full((len(images),), row, device=images.device)
        chosen = defocus.select(images)
        fine = ctf(wide, chosen, box * factor, group=rows, treatment=plain, dtype=dtype)
        result.index_copy_(0, images, _cut_back(fine, box, factor, size))
    return result


def _cut_back(fine: Tensor, box: int, factor: int, size: int) -> Tensor:
    """Cut the point-spread functions of wide boxes to the box; return their real transforms."""
    spread = fourier.inverse(torch.complex(fine, torch.zeros_like(fine)), 2, box * factor)
    first = box * factor // 2 - box // 2
    inside = spread[:, first : first + box, first : first + box] / factor**2
    return fourier.crop(fourier.forward(inside, 2), size, 2).real
