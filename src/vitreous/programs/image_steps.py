"""The operations of `vitreous image`, each on a batch of images or one map.

Options are those of relion_image_handler; here every operation acts on the result of the one
before, in the order of the command line (postprocessing.md section 9).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vitreous.engine import boxing, filtering, fourier, resolution, symmetric_maps
from vitreous.errors import InputError
from vitreous.io import read_volume

SMALLEST_DIVISOR = 1e-10
PIXEL_TOLERANCE = 0.01
_AXES = {"X": 0, "Y": 1, "Z": 2}


@dataclass(frozen=True)
class Pictures:
    """Images ``n y x``, or one map ``1 z y x``, with their pixel size (0: unknown)."""

    data: Tensor
    pixel_size_A: float

    @property
    def ndim(self) -> int:
        """2 for images, 3 for a map."""
        return self.data.ndim - 1


Step = Callable[[Pictures, str, argparse.Namespace], Pictures]


def apply(pictures: Pictures, name: str, value: str, settings: argparse.Namespace) -> Pictures:
    """Apply one operation by its name."""
    return STEPS[name](pictures, value, settings)


def _mapped(change: Callable[[Tensor, float], Tensor]) -> Step:
    """Make a step of something that is done to the pixels with a number."""

    def step(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
        return replace(pictures, data=change(pictures.data, number(value)))

    return step


def _with_image(change: Callable[[Tensor, Tensor], Tensor]) -> Step:
    """Make a step of something that is done with another image or map of the same size."""

    def step(pictures: Pictures, value: str, settings: argparse.Namespace) -> Pictures:
        other = other_like(pictures, value, trusted=settings.angpix is not None)
        return replace(pictures, data=change(pictures.data, other))

    return step


def _divide(data: Tensor, other: Tensor) -> Tensor:
    usable = other.abs() >= SMALLEST_DIVISOR
    return torch.where(usable, data / torch.where(usable, other, 1.0), 0.0)


def _divide_constant(data: Tensor, value: float) -> Tensor:
    if abs(value) < SMALLEST_DIVISOR:
        raise InputError(f"--divide_constant {value:g}: cannot divide by zero.")
    return data / value


def _filtered(
    change: Callable[[Tensor, float, float, int, argparse.Namespace], Tensor], name: str
) -> Step:
    """Make a step of a filter that is told in ångström."""

    def step(pictures: Pictures, value: str, settings: argparse.Namespace) -> Pictures:
        pixel_size_A = known_pixel_size(pictures, name)
        sides, square = _squared(pictures, name)
        data = change(square, number(value), pixel_size_A, pictures.ndim, settings)
        return replace(pictures, data=boxing.new_box(data, sides, pictures.ndim))

    return step


def _low_pass(
    data: Tensor, value: float, pixel_size_A: float, ndim: int, settings: argparse.Namespace
) -> Tensor:
    axis = _AXES[settings.directional] if settings.directional else None
    edge = settings.filter_edge_width
    return filtering.low_pass(data, value, pixel_size_A, ndim, edge_shells=edge, direction=axis)


def _high_pass(
    data: Tensor, value: float, pixel_size_A: float, ndim: int, settings: argparse.Namespace
) -> Tensor:
    return filtering.high_pass(
        data, value, pixel_size_A, ndim, edge_shells=settings.filter_edge_width
    )


def _randomise(
    data: Tensor, value: float, pixel_size_A: float, ndim: int, settings: argparse.Namespace
) -> Tensor:
    size = data.shape[-1]
    if value <= 0:
        raise InputError(f"--phase_randomise {value:g}; wanted a resolution above 0.")
    shell = int(size * pixel_size_A / value + 0.5)
    generator = torch.Generator().manual_seed(settings.seed)
    transform = fourier.forward(data, ndim)
    return fourier.inverse(
        resolution.randomise_phases(transform, shell, generator, ndim), ndim, size
    )


def _flip(axis: int) -> Step:
    def step(pictures: Pictures, _: str, __: argparse.Namespace) -> Pictures:
        if axis >= pictures.ndim:
            raise InputError("--flipZ needs a map, but images were given.")
        return replace(pictures, data=boxing.flip(pictures.data, axis))

    return step


def _transpose(anti: bool) -> Step:
    def step(pictures: Pictures, _: str, __: argparse.Namespace) -> Pictures:
        data = pictures.data.transpose(-1, -2)
        return replace(pictures, data=(data.flip(-1, -2) if anti else data).contiguous())

    return step


def _shift(axis: int) -> Step:
    def step(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
        if axis >= pictures.ndim:
            raise InputError("--shift_z needs a map, but images were given.")
        distance = tuple(number(value) if axis == other else 0.0 for other in range(axis + 1))
        return replace(pictures, data=boxing.shift(pictures.data, distance))

    return step


def _shift_to_centre(pictures: Pictures, _: str, __: argparse.Namespace) -> Pictures:
    moved = [
        boxing.shift(image, tuple(-part for part in boxing.centre_of_mass(image)))
        for image in pictures.data
    ]
    return replace(pictures, data=torch.stack(moved))


def _invert_hand(pictures: Pictures, _: str, __: argparse.Namespace) -> Pictures:
    return replace(pictures, data=boxing.invert_hand(pictures.data))


def _rescale(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
    old_A, new_A = known_pixel_size(pictures, "rescale_angpix"), number(value)
    if new_A <= 0:
        raise InputError(f"--rescale_angpix {value}; wanted a pixel size above 0.")
    sides, square = _squared(pictures, "rescale_angpix")
    size = boxing.even_size(square.shape[-1], old_A, new_A)
    data = boxing.rescale(square, size, pictures.ndim)
    kept = tuple(boxing.even_size(side, old_A, new_A) for side in sides)
    pixel_size_A = old_A * square.shape[-1] / size  # what the even box really has
    return Pictures(boxing.new_box(data, kept, pictures.ndim), pixel_size_A)


def _new_box(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
    size = number(value)
    if size < 1 or size != int(size):
        raise InputError(f"--new_box {value}; wanted a whole number of pixels above 0.")
    return replace(pictures, data=boxing.new_box(pictures.data, int(size), pictures.ndim))


def _symmetrise(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
    if pictures.ndim != 3:
        raise InputError("--sym needs a map, but images were given.")
    _require_square(pictures, "sym")
    return replace(pictures, data=symmetric_maps.symmetrise(pictures.data[0], value)[None])


def _adjust_power(pictures: Pictures, value: str, settings: argparse.Namespace) -> Pictures:
    _require_square(pictures, "adjust_power")
    other = other_like(pictures, value, trusted=settings.angpix is not None)
    return replace(pictures, data=filtering.adjust_power(pictures.data, other, pictures.ndim))


def _fourier_filter(pictures: Pictures, value: str, _: argparse.Namespace) -> Pictures:
    """Multiply the transform by an image whose origin of frequencies is its centre."""
    sizes = tuple(pictures.data.shape[1:])
    weights = other_like(pictures, value, trusted=True)  # frequencies have no pixel size
    axes = tuple(range(weights.ndim))
    rolled = weights.roll([-(size // 2) for size in sizes], axes)[..., : sizes[-1] // 2 + 1]
    transform = fourier.forward(pictures.data, pictures.ndim) * rolled
    return replace(pictures, data=fourier.inverse(transform, pictures.ndim, sizes))


def _correct_amplitude(pictures: Pictures, value: str, settings: argparse.Namespace) -> Pictures:
    """Make a mean amplitude spectrum, as `--avg_ampl` writes it, the same all around each shell."""
    _require_square(pictures, "correct_avg_ampl")
    size, ndim = pictures.data.shape[-1], pictures.ndim
    spectrum = torch.from_numpy(read_volume(value).data)
    half = (*pictures.data.shape[1:-1], size // 2 + 1)
    if spectrum.numel() != math.prod(half):
        raise InputError(
            f"{value}: {_size(tuple(spectrum.shape))} values; the amplitude spectrum of the input "
            f"has {_size(half)}. Make it with --avg_ampl."
        )
    spectrum = spectrum.reshape(half)
    shells = fourier.shell_index(size, ndim)
    mean = fourier.shell_mean(spectrum, ndim, int(shells.max()) + 1, stored=True)
    usable = (shells > settings.minr_ampl_corr) & (spectrum > 0)
    factor = torch.where(usable, mean[shells] / torch.where(usable, spectrum, 1.0), 1.0)
    transform = fourier.forward(pictures.data, ndim) * factor
    return replace(pictures, data=fourier.inverse(transform, ndim, size))


def _add_edge(pictures: Pictures, _: str, settings: argparse.Namespace) -> Pictures:
    """Repeat the outermost columns and rows that are kept as far as the edges."""
    if pictures.ndim != 2:
        raise InputError(
            "--add_edge needs images, but a map was given; of a stack write FILE:mrcs."
        )
    indices = []
    for axis, name in ((1, "y"), (2, "x")):
        size = pictures.data.shape[axis]
        first, last = getattr(settings, f"edge_{name}0"), getattr(settings, f"edge_{name}F")
        first, last = 0 if first is None else first, size - 1 if last is None else last
        if not 0 <= first <= last < size:
            raise InputError(
                f"--edge_{name}0 {first} --edge_{name}F {last}: wanted two places from 0 to "
                f"{size - 1}, the first one not above the last."
            )
        indices.append(torch.arange(size).clamp(first, last))
    return replace(pictures, data=pictures.data[:, indices[0][:, None], indices[1]])


def _remove_nan(pictures: Pictures, _: str, settings: argparse.Namespace) -> Pictures:
    data = torch.where(torch.isfinite(pictures.data), pictures.data, settings.replace_nan)
    return replace(pictures, data=data)


def _subtract(pictures: Pictures, value: str, settings: argparse.Namespace) -> Pictures:
    trusted = settings.angpix is not None
    other = other_like(pictures, value, trusted=trusted)
    if not settings.optimise_scale_subtract:
        return replace(pictures, data=pictures.data - other)
    mask = torch.ones_like(other)
    if settings.mask_optimise_subtract:
        mask = other_like(pictures, settings.mask_optimise_subtract, trusted=trusted)
    search_A2 = settings.optimise_bfactor_subtract
    pixel_size_A = known_pixel_size(pictures, "optimise_bfactor_subtract") if search_A2 > 0 else 1.0
    results = [_best_rest(image, other, mask, search_A2, pixel_size_A) for image in pictures.data]
    return replace(pictures, data=torch.stack(results))


def _best_rest(
    image: Tensor, other: Tensor, mask: Tensor, search_A2: float, pixel_size_A: float
) -> Tensor:
    """Subtract the scaled (and blurred) image that leaves least inside the squared mask."""
    weight = mask.double() ** 2
    best, least = image, float("inf")
    for b_factor_A2 in torch.arange(-search_A2, search_A2 + 5, 10).tolist() or [0.0]:
        blurred = other
        if b_factor_A2:
            blurred = filtering.apply_b_factor(other, b_factor_A2, pixel_size_A, other.ndim)
        power = float((weight * blurred.double() ** 2).sum())
        scale = float((weight * blurred * image).sum()) / power if power > 0 else 0.0
        rest = image - scale * blurred
        left = float((weight * rest.double() ** 2).sum())
        if left < least:
            best, least = rest, left
    return best


def check(name: str, value: str) -> None:
    """Refuse a value that is no number where the operation wants one."""
    if name in WITHOUT_VALUE or name in WITH_NAME:
        return
    try:
        usable = math.isfinite(float(value))
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"--{name} {value}: wanted a number.")


def number(value: str) -> float:
    """Return the number of an option that was checked."""
    return float(value)


def other_like(pictures: Pictures, path: str, *, trusted: bool = False) -> Tensor:
    """Read the other image of an operation; it must have the size of the pictures.

    The pixel sizes must agree too, where both are known and the user did not say (`trusted`).
    """
    volume = read_volume(path)
    data = torch.from_numpy(volume.data)
    wanted = tuple(pictures.data.shape[1:])
    if pictures.ndim == 2 and data.shape[0] == 1:
        data = data[0]
    if tuple(data.shape) != wanted:
        raise InputError(
            f"{path}: {_size(tuple(data.shape))} pixels, but the input has {_size(wanted)} here."
        )
    here_A, there_A = pictures.pixel_size_A, volume.pixel_size_A
    both_known = here_A > 0 and there_A > 0 and not trusted
    if both_known and abs(here_A - there_A) > PIXEL_TOLERANCE * here_A:
        raise InputError(
            f"{path} has pixels of {there_A:g} A, the input of {here_A:g} A. If only a header is "
            "wrong, give the right pixel size with --angpix."
        )
    return data


def known_pixel_size(pictures: Pictures, option: str) -> float:
    """Return the pixel size, or say how to give it."""
    if pictures.pixel_size_A <= 0:
        raise InputError(f"--{option} needs a pixel size and the header has none: give --angpix.")
    return pictures.pixel_size_A


def _squared(pictures: Pictures, option: str) -> tuple[tuple[int, ...], Tensor]:
    """Return the sides, and the images padded to squares with their mean: pixels stay square."""
    sides = tuple(pictures.data.shape[1:])
    if len(set(sides)) == 1:
        return sides, pictures.data
    if pictures.ndim == 3:
        _require_square(pictures, option)
    mean = pictures.data.mean((1, 2), keepdim=True)
    return sides, boxing.new_box(pictures.data - mean, max(sides), 2) + mean


def _require_square(pictures: Pictures, option: str) -> None:
    sizes = tuple(pictures.data.shape[1:])
    if len(set(sizes)) != 1:
        advice = " If it is a stack, write FILE:mrcs." if pictures.ndim == 3 else ""
        raise InputError(
            f"--{option} needs equal sides, the input has {_size(sizes)} pixels.{advice}"
        )


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(shape))


STEPS: dict[str, Step] = {
    "multiply_constant": _mapped(lambda data, value: data * value),
    "divide_constant": _mapped(_divide_constant),
    "add_constant": _mapped(lambda data, value: data + value),
    "subtract_constant": _mapped(lambda data, value: data - value),
    "threshold_above": _mapped(lambda data, value: data.clamp(max=value)),
    "threshold_below": _mapped(lambda data, value: data.clamp(min=value)),
    "multiply": _with_image(lambda data, other: data * other),
    "divide": _with_image(_divide),
    "add": _with_image(lambda data, other: data + other),
    "subtract": _subtract,
    "adjust_power": _adjust_power,
    "fourier_filter": _fourier_filter,
    "correct_avg_ampl": _correct_amplitude,
    "bfactor": _filtered(
        lambda data, b, a, ndim, _: filtering.apply_b_factor(data, b, a, ndim), "bfactor"
    ),
    "lowpass": _filtered(_low_pass, "lowpass"),
    "highpass": _filtered(_high_pass, "highpass"),
    "LoG": _filtered(
        lambda data, d, a, ndim, _: filtering.laplacian_of_gaussian(data, d, a, ndim), "LoG"
    ),
    "phase_randomise": _filtered(_randomise, "phase_randomise"),
    "flipX": _flip(0),
    "flipY": _flip(1),
    "flipZ": _flip(2),
    "flipXY": _transpose(anti=False),
    "flipmXY": _transpose(anti=True),
    "invert_hand": _invert_hand,
    "shift_x": _shift(0),
    "shift_y": _shift(1),
    "shift_z": _shift(2),
    "shift_com": _shift_to_centre,
    "rescale_angpix": _rescale,
    "new_box": _new_box,
    "sym": _symmetrise,
    "add_edge": _add_edge,
    "remove_nan": _remove_nan,
}
WITHOUT_VALUE = (
    "flipX", "flipY", "flipZ", "flipXY", "flipmXY", "invert_hand", "shift_com", "add_edge",
    "remove_nan",
)  # fmt: skip
WITH_NAME = (
    "multiply", "divide", "add", "subtract", "adjust_power", "fourier_filter",
    "correct_avg_ampl", "sym",
)  # fmt: skip
