"""Transforms of whole maps in place, a few planes at a time.

The same numbers as `fourier.forward` and `fourier.inverse`, but the origin is the first voxel,
which changes signs only: sums over shells, radial filters and random phases do not see it. A plane
fits into the cache of a processor and one array holds the result, so that a map is transformed
faster than by the library's call for three axes, in half of the memory.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.kernels import planes as kernel

_TOGETHER = {"cuda": 2**26}  # coefficients; one plane elsewhere
_SMALL = 2**20  # voxels of a map that is in the cache anyway: the library's call is as good


def forward(
    real: Float[Tensor, "z y x"],
    mask: Float[Tensor, "z y x"] | None = None,
    *,
    plus: Float[Tensor, "z y x"] | None = None,
    out: Complex[Tensor, "z y xh"] | None = None,
    reach: int | None = None,
) -> Complex[Tensor, "z y xh"]:
    """Transform a map, its product with a mask, or its sum with another map.

    Parameters
    ----------
    real
        Any sizes.
    mask
        Factor of each voxel, of the map alone.
    plus
        Another map that is added.
    out
        Takes the result; its memory is used again.
    reach
        Coefficients are wanted up to this length of the whole-number frequency; what stands
        further out means nothing then. By default all are wanted.
    """
    nz = len(real)
    if out is None:
        out = room(real)

    def planes(part: slice) -> Tensor:
        some = real[part] if mask is None else real[part] * mask[part]
        return (some if plus is None else some + plus[part]).to(out.real.dtype)

    if real.numel() < _SMALL:
        torch.fft.rfftn(planes(slice(None)), norm="forward", out=out)
        return out

    filled = range(nz) if mask is None or plus is not None else _filled(mask)

    def transform(part: slice) -> None:
        if _meets(part, filled):
            kernel.forward(planes(part), out[part])
        else:
            out[part] = 0

    _each(_parts(out, 0), transform)
    return _along_z_(out, reach, back=False)


def room(real: Float[Tensor, "z y x"]) -> Complex[Tensor, "z y xh"]:
    """Return memory for the transform of a map, as `forward` takes it."""
    nz, ny, nx = real.shape
    kind = torch.promote_types(real.dtype, torch.complex64)
    return _empty(real, (nz, ny, nx // 2 + 1), kind)


def _empty(like: Tensor, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    """Return memory that is filled once, plane by plane; on the CPU in pages of the usual size.

    Large pages, which torch asks for, have to come from free blocks of their size. A virtual
    machine has mostly given those back to its host, and gets them anew at ten times the price.
    """
    n = math.prod(shape)
    if like.device.type != "cpu" or n < max(_SMALL, 1):
        return like.new_empty(shape, dtype=kind)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    return torch.frombuffer(mmap.mmap(-1, n * kind.itemsize, flags=flags), dtype=kind).view(shape)


def as_map(transform: Complex[Tensor, "z y xh"], nx: int) -> Float[Tensor, "z y x"]:
    """Return the memory of a transform that is no longer needed, as that of a map."""
    nz, ny, _ = transform.shape
    return torch.view_as_real(transform).flatten()[: nz * ny * nx].view(nz, ny, nx)


def inverse_(
    transform: Complex[Tensor, "z y xh"],
    nx: int,
    *,
    out: Float[Tensor, "z y x"] | None = None,
    reach: int | None = None,
) -> Float[Tensor, "z y x"]:
    """Undo `forward`; the transform is destroyed.

    Parameters
    ----------
    transform
        Of a map.
    nx
        Side of the map along x.
    out
        Takes the result.
    reach
        All coefficients whose whole-number frequency is longer are zero; by default none need be.
    """
    nz, ny, _ = transform.shape
    if out is None:
        out = transform.real.new_empty((nz, ny, nx))
    if out.numel() < _SMALL:
        torch.fft.irfftn(transform, s=(nz, ny, nx), norm="forward", out=out)
        return out
    _along_z_(transform, reach, back=True)
    planes = out

    def back(part: slice) -> None:
        kernel.back(transform[part], planes[part])

    _each(_parts(transform, 0), back)
    return planes


def through_mask_(
    transform: Complex[Tensor, "z y xh"],
    mask: Float[Tensor, "z y x"],
    part: tuple[slice, slice, slice] | None = None,
    reach: int | None = None,
) -> Float[Tensor, "zless yless xless"]:
    """Multiply a map by a mask, given its transform and leaving its transform there, in place.

    Parameters
    ----------
    transform, mask
        Of the map, and as large as it.
    part
        What is returned.
    reach
        Up to where coefficients of the result are wanted; see `forward`.

    Returns
    -------
    Tensor
        That part of the map as it was before, in bfloat16: rounded, but in half of the memory. None
        by default.
    """
    _, ny, nx = mask.shape
    shape = (0, 0, 0) if part is None else tuple(mask[part].shape)
    seen = _empty(mask, shape, torch.bfloat16)
    if mask.numel() < _SMALL:
        volume = inverse_(transform, nx)
        if part is not None:
            seen.copy_(volume[part])
        forward(volume, mask, out=transform)
        return seen
    _along_z_(transform, None, back=True)
    filled = _filled(mask)
    wanted = range(0) if part is None else range(part[0].start, part[0].stop)

    def there_and_back(planes: slice) -> None:
        number = planes.start  # one plane, or on a GPU a few
        inside = _meets(planes, filled)
        if not inside and not _meets(planes, wanted):
            transform[planes] = 0
            return
        real = transform.real.new_empty((planes.stop - planes.start, ny, nx))
        kernel.back(transform[planes], real)
        for offset, plane in enumerate(real if part is not None else ()):
            if part is not None and number + offset in wanted:
                seen[number + offset - wanted.start] = plane[part[1:]]
        if inside:
            kernel.forward(real.mul_(mask[planes]), transform[planes])
        else:
            transform[planes] = 0

    _each(_parts(transform, 0), there_and_back)
    _along_z_(transform, reach, back=False)
    return seen


def _meets(planes: slice, wanted: range) -> bool:
    return bool(planes.stop > wanted.start and planes.start < wanted.stop)


def _filled(mask: Tensor) -> range:
    """Return the planes from the first to the last that a mask is not 0 in."""
    first, last = 0, len(mask)
    while first < last and _is_empty(mask[first]):
        first += 1
    while last > first and _is_empty(mask[last - 1]):
        last -= 1
    return range(first, last)


def _is_empty(plane: Tensor) -> bool:
    low, high = torch.aminmax(plane)  # several times faster than to ask for any
    return bool(low == 0) and bool(high == 0)


def _along_z_(transform: Tensor, reach: int | None, *, back: bool) -> Tensor:
    """Transform columns along z, but for those that lie wholly out of reach."""
    ny, width = transform.shape[1:]

    def along(rows: slice) -> None:
        kernel.along_z_(transform, rows, _width(rows, ny, width, reach), back=back)

    _each(_parts(transform, 1), along)
    return transform


def _width(rows: slice, ny: int, width: int, reach: int | None) -> int:
    """Return how many coefficients of some rows may lie within reach."""
    if reach is None:
        return width
    ky = min(min(y, ny - y) for y in range(rows.start, rows.stop))
    return min(width, math.isqrt(reach**2 - ky**2) + 1) if ky <= reach else 0


def _parts(transform: Tensor, axis: int) -> list[slice]:
    """Return slices of an axis that are transformed together."""
    side = transform.shape[axis]
    one = max(1, transform.numel() // max(1, side))
    step = max(1, _TOGETHER.get(transform.device.type, 1) // one)
    return [slice(start, min(side, start + step)) for start in range(0, side, step)]


def _each(parts: Sequence[slice], work: Callable[[slice], None]) -> None:
    """Share the parts between threads that never wait for each other."""
    n_threads = torch.get_num_threads()
    if n_threads == 1 or len(parts) == 1:
        for part in parts:
            work(part)
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            list(pool.map(work, parts))
    finally:
        torch.set_num_threads(n_threads)
