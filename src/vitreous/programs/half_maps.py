"""The two half-maps of a refinement and the mask, checked before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import masking
from vitreous.errors import InputError, MissingFileError
from vitreous.io import Volume, map_images, read_header
from vitreous.io.mrc import require_finite
from vitreous.jobs.context import Run
from vitreous.programs.fsc import other_half
from vitreous.programs.maps import PIXEL_TOLERANCE, pixel_size_of, read_cube, size_text

_FLOAT32 = 2  # mode of an MRC file
_SAME = 1 - 1e-7
_LOOKED_AT = 16  # planes of two maps that are compared before all are
_STEP = 4  # one plane in so many is looked at for the edge of a mask
_HARD = 0.02  # of the voxels of a mask: fewer lie between 0 and 1


@dataclass(frozen=True)
class HalfMaps:
    """Two half-maps that were found to be fit for a comparison.

    Parameters
    ----------
    names
        Their files, half 1 first, from the project folder.
    first, second
        ``z y x`` each, one cube.
    pixel_size_A
        The one that was given, or else that of the files.
    file_pixel_size_A
        That of the files, 0 where they tell none.
    """

    names: tuple[str, str]
    first: Tensor
    second: Tensor
    pixel_size_A: float
    file_pixel_size_A: float = 0.0

    @property
    def box_px(self) -> int:
        """Side of the cubes."""
        return int(self.first.shape[0])


def read_halves(run: Run, file: str, other: str, given_A: float) -> HalfMaps:
    """Read both half-maps.

    Parameters
    ----------
    run
        The job, which is warned of a doubtful pixel size.
    file
        Either of them.
    other
        The other; where empty, the name with half1 and half2 exchanged.
    given_A
        Pixel size of the form; not above 0 takes that of the files.

    Raises
    ------
    InputError
        One is missing or no map in a cube, they differ in size or pixel size, are the same map,
        or are flat.
    """
    names = (file, other or other_half(file))
    if not other and "half2" in file.rpartition("/")[2]:
        names = names[::-1]
    for name in names:
        if not (run.project / name).is_file():
            raise MissingFileError(
                f"{name} does not exist, so there is nothing to compare "
                f"{names[0] if name == names[1] else names[1]} with. Give an unfiltered half-map "
                "of a Refine3D job; the other is found beside it."
            )
    volumes = _mapped(run.project, names[0]), _mapped(run.project, names[1])
    _check_pair(volumes, names)
    pixel_size_A = _pixel_size(run, volumes, names, given_A)
    first, second = (torch.from_numpy(volume.data) for volume in volumes)
    return HalfMaps(names, first, second, pixel_size_A, volumes[0].pixel_size_A)


def _mapped(project: Path, name: str) -> Volume:
    """Return a cube whose pages are read as they are needed, where the file is plain float32."""
    path = project / name
    header = read_header(path)
    is_plain = path.suffix in (".mrc", ".map") and header.mode == _FLOAT32
    if not is_plain or header.dtype != np.dtype("=f4") or len(set(header.shape)) > 1:
        return read_cube(project, name)
    stored = map_images(path)  # changes to a private copy never reach the file
    data = np.memmap(path, stored.dtype, "c", header.offset, stored.shape)
    require_finite(data, name)
    return Volume(data, header.pixel_size_A)


def _check_pair(volumes: tuple[Volume, Volume], names: tuple[str, str]) -> None:
    first, second = (volume.data for volume in volumes)
    if first.shape != second.shape:
        raise InputError(
            f"{names[0]} has {size_text(first.shape)} pixels and {names[1]} "
            f"{size_text(second.shape)}; the half-maps of one refinement have one size."
        )
    for name, data in zip(names, (first, second), strict=True):
        if all(np.ptp(plane) == 0 for plane in data) and np.ptp(data[:, 0, 0]) == 0:
            raise InputError(
                f"{name}: all voxels are {data.flat[0]:g}; there is nothing to correlate."
            )
    some = slice(None, None, max(1, len(first) // _LOOKED_AT))
    if _alike(first[some], second[some]) and _alike(first, second):
        raise InputError(
            f"{names[0]} and {names[1]} hold the same map, so their FSC is 1 at all resolutions "
            "and says nothing. Is one a copy of the other? Give the two unfiltered half-maps."
        )


def _alike(
    first: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    second: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> bool:
    """Tell whether one map is the other times a number plus a number; plane by plane in float64."""
    sums = np.zeros(5)
    for one, other in zip(first, second, strict=True):
        a, b = (plane.ravel().astype(np.float64) for plane in (one, other))
        sums += (a.sum(), b.sum(), (a * a).sum(), (b * b).sum(), (a * b).sum())
    mean_a, mean_b, *products = sums / first.size
    power_a, power_b = products[0] - mean_a**2, products[1] - mean_b**2
    common = products[2] - mean_a * mean_b
    return bool(abs(common) >= _SAME * np.sqrt(max(0.0, power_a) * max(0.0, power_b)))


def _pixel_size(
    run: Run, volumes: tuple[Volume, Volume], names: tuple[str, str], given_A: float
) -> float:
    first, second = (volume.pixel_size_A for volume in volumes)
    if first > 0 and second > 0 and abs(first - second) > PIXEL_TOLERANCE * first:
        raise InputError(
            f"{names[0]} has pixels of {first:g} Å and {names[1]} of {second:g} Å. Half-maps of "
            "one refinement have one pixel size; check that both come from it."
        )
    if given_A > 0 and first > 0 and abs(given_A - first) > 0.1 * first:
        run.warn(
            f"The pixel size given, {given_A:g} Å, is far from that of the file, {first:g} Å. "
            "Resolution and B-factor go with it: is it that of the map, or of the movies?",
            names[0],
        )
    return pixel_size_of(volumes[0], names[0], given_A, "a resolution")


def read_mask(run: Run, name: str, halves: HalfMaps) -> Tensor:
    """Read a mask for half-maps, and warn of what makes it unfit for measuring resolution.

    Raises
    ------
    InputError
        It differs in size, is empty, or has values outside 0 to 1.
    """
    volume = _mapped(run.project, name)
    shape = tuple(halves.first.shape)
    if volume.data.shape != shape:
        raise InputError(
            f"{name} has {size_text(volume.data.shape)} pixels and the half-maps "
            f"{size_text(shape)}; wanted a mask of the size of the maps."
        )
    _check_pixel_size(run, name, volume.pixel_size_A, halves)
    mask = torch.from_numpy(volume.data)
    low, high = (float(value) for value in torch.aminmax(mask))
    if low < -1e-6 or high > 1 + 1e-6:
        raise InputError(
            f"{name}: values run from {low:g} to {high:g}, but a mask runs from 0 (solvent) to 1 "
            "(particle). Make one with a MaskCreate job."
        )
    if high <= 0.5:
        raise InputError(f"{name}: nothing is inside this mask; its highest value is {high:g}.")
    _judge_mask(run, name, mask)
    return mask


def _check_pixel_size(run: Run, name: str, mask_A: float, halves: HalfMaps) -> None:
    """Warn where a mask was made for other pixels than those of the maps, in words or in files."""
    known = [size for size in (halves.pixel_size_A, halves.file_pixel_size_A) if size > 0]
    if mask_A > 0 and all(abs(mask_A - size) > PIXEL_TOLERANCE * size for size in known):
        run.warn(
            f"The mask has pixels of {mask_A:g} Å and the half-maps of {known[-1]:g} Å. It is laid "
            "over them voxel by voxel, so that a mask made for another map or another box does not "
            "fit the particle, and the resolution inside it means nothing. Make one from this "
            "refinement's map with a MaskCreate job; if only the header is wrong, correct it with "
            "`vitreous image --force_header_angpix`.",
            name,
        )


def share_inside(mask: Tensor) -> float:
    """Return the share of the voxels where a mask is above one half."""
    planes = mask.numpy()  # several times faster than to compare and add up a tensor
    return sum(int(np.count_nonzero(plane > 0.5)) for plane in planes) / mask.numel()


def _judge_mask(run: Run, name: str, mask: Tensor) -> None:
    inside = share_inside(mask)
    if inside == 1:
        run.warn(
            "The mask has the whole box inside, so the masked FSC is that without a mask.", name
        )
        return
    some = mask[len(mask) % _STEP // 2 :: _STEP].numpy()  # an edge is seen in any few planes
    n_between = sum(np.count_nonzero((plane > 0.001) & (plane < 0.999)) for plane in some)
    between = n_between / some.size
    if between < _HARD * inside:
        run.warn(
            "The mask is binary: it has no soft edge. A hard edge correlates the half-maps at "
            "all resolutions; what the correction takes out again is uncertain. Make a mask with "
            "a soft edge of 6 pixels or more.",
            name,
        )
    if masking.touches_edge(mask, above=0.5):
        run.warn(
            "The mask is cut off by the edge of the box. The jump there adds correlation at all "
            "resolutions; use a smaller mask or a larger box. (For a helix, keep the central "
            "part only.)",
            name,
        )
