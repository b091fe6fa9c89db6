"""Fourier transforms of images, of planes of a map, and of its columns along z; planes folded.

The origin is the first pixel. On a CPU with vectors of eight numbers (AVX2 has them of single
precision, AVX-512 of both) compiled loops do it for even sides without a prime factor above 43;
elsewhere the library of torch does, which is the reference. Both divide by the number of samples on
the way there, and use the threads of torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from types import ModuleType

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

_MODULE = "vitreous.engine.kernels._planes"
_PLANES_TOGETHER = 16
_ROWS_AT_ONCE = 2**20  # pixels: a few MiB
_TOGETHER = 2**19  # pixels of images between whose two steps nothing leaves the cache


@lru_cache(maxsize=1)
def compiled() -> ModuleType | None:
    """Return the compiled loops, or None where the package was built without a compiler."""
    return importlib.import_module(_MODULE) if importlib.util.find_spec(_MODULE) else None


def forward(real: Float[Tensor, "n y x"], out: Complex[Tensor, "n y xh"]) -> None:
    """Transform planes.

    Parameters
    ----------
    real
        The planes.
    out
        Takes their half transforms.
    """
    module = _module_for(real, out)
    if module is not None:
        module.forward(real, torch.view_as_real(out), torch.get_num_threads())
    else:
        torch.fft.rfft2(real, norm="forward", out=out)


def back(transform: Complex[Tensor, "n y xh"], out: Float[Tensor, "n y x"]) -> None:
    """Undo `forward`; the transform is destroyed.

    Parameters
    ----------
    transform
        Half transforms of planes.
    out
        Takes the planes.
    """
    module = _module_for(out, transform)
    if module is not None:
        half = torch.view_as_real(transform)
        module.back(half, half, out, torch.get_num_threads())
    else:
        torch.fft.irfft2(transform, s=tuple(out.shape[1:]), norm="forward", out=out)


def of_images(
    images: Float[Tensor, "*b y x"], out: Complex[Tensor, "*b y xh"] | None = None
) -> Complex[Tensor, "*b y xh"]:
    """Return half transforms of images, of which there may be any number in any memory.

    Parameters
    ----------
    images
        The images.
    out
        Takes the result and is returned: new memory costs as much as the transform.
    """
    ny, nx = images.shape[-2:]
    module = _module_of(images, (ny, nx))
    kind = torch.promote_types(images.dtype, torch.complex64)
    if module is None or not (out is None or (_is_plain(out) and out.dtype == kind)):
        transform: Tensor = torch.fft.rfft2(images, norm="forward", out=out)
        return transform
    whole = images.resolve_neg().contiguous().view(-1, ny, nx)
    if out is None:
        out = images.new_empty((*images.shape[:-1], nx // 2 + 1), dtype=kind)
    half = torch.view_as_real(out).view(-1, ny, nx // 2 + 1, 2)
    module.forward(whole, half, torch.get_num_threads())
    return out


def images_of(
    transform: Complex[Tensor, "*b y xh"], sizes: tuple[int, int]
) -> Float[Tensor, "*b y x"]:
    """Undo `of_images`; the transform stays.

    Parameters
    ----------
    transform
        Half transforms.
    sizes
        ``y x`` of the images.
    """
    ny, nx = sizes
    fits = transform.shape[-2:] == (ny, nx // 2 + 1)
    module = _module_of(transform, sizes) if fits else None
    if module is None:
        images: Tensor = torch.fft.irfft2(transform, s=sizes, norm="forward")
        return images
    whole = torch.view_as_real(transform.resolve_conj().contiguous()).view(-1, ny, nx // 2 + 1, 2)
    images = whole.new_empty((*transform.shape[:-2], ny, nx))
    # An image after the other leaves what is between them in the cache.
    together = max(1, _TOGETHER // max(1, ny * nx))
    between = torch.empty_like(whole[:together])
    for start in range(0, len(whole), together):
        some = whole[start : start + together]
        part = images.view(-1, ny, nx)[start : start + together]
        module.back(some, between[: len(some)], part, torch.get_num_threads())
    return images


def products_back(
    factors: Float[Tensor, "n y x"],
    plane: Complex[Tensor, "y x"],
    re: Float[Tensor, "nre y x"],
    im: Float[Tensor, "nim y x"],
) -> None:
    """Multiply real planes with a complex one and transform the products back.

    Parameters
    ----------
    factors, plane
        All frequencies, zero frequency first.
    re, im
        Take the real parts of the first images, and the imaginary ones.
    """
    ny, nx = plane.shape
    arrays = (factors, plane, re, im)
    alike = len({_BYTES.get(one.dtype, 0) for one in arrays}) == 1
    module = _module_of(factors, (ny, 2 * nx)) if alike and all(map(_is_plain, arrays)) else None
    if module is not None:
        parts = torch.view_as_real(plane)
        module.products_back(factors, parts, re, im, torch.get_num_threads())
        return
    product = plane.new_empty((min(_PLANES_TOGETHER, len(factors)), ny, nx))
    for start in range(0, len(factors), _PLANES_TOGETHER):
        some = slice(start, start + _PLANES_TOGETHER)
        here = product[: len(factors[some])]
        torch.mul(factors[some], plane.real, out=here.real)  # complex factors would be copies
        torch.mul(factors[some], plane.imag, out=here.imag)
        images = torch.fft.ifft2(here, norm="forward")
        re[some] = images.real[: len(re[some])]
        im[some] = images.imag[: len(im[some])]


def of_rows(images: Float[Tensor, "*b x"], keep: int) -> Complex[Tensor, "*b keep"]:
    """Return the first `keep` numbers of the half transform of each row."""
    nx = images.shape[-1]
    module = _module_of(images, (1, nx))
    if module is None or keep > nx // 2 + 1:
        few = max(1, _ROWS_AT_ONCE // nx) if images.ndim == 2 and not images.is_cuda else 0
        parts = torch.split(images, few) if few else (images,)  # else all numbers would be stored
        found = [torch.fft.rfft(part, norm="forward")[..., :keep] for part in parts]
        return found[0] if len(found) == 1 else torch.cat(found)
    kind = torch.promote_types(images.dtype, torch.complex64)
    out = images.new_empty((*images.shape[:-1], keep), dtype=kind)
    half = torch.view_as_real(out).view(-1, keep, 2)
    module.rows(images.resolve_neg().contiguous().view(-1, nx), half, torch.get_num_threads())
    return out


def of_columns_(transform: Complex[Tensor, "*b y xh"]) -> Complex[Tensor, "*b y xh"]:
    """Transform columns of what `of_rows` gave; its memory may serve again for the result."""
    ny, width = transform.shape[-2:]
    module = _module_of(transform, (ny, 2)) if _is_plain(transform) else None
    if module is None:
        found: Tensor = torch.fft.fft(transform, dim=-2, norm="forward")
        return found
    for one in torch.view_as_real(transform).view(-1, ny, 1, width, 2):
        module.along_z(one, 0, 1, width, False, torch.get_num_threads())
    return transform


def rescaled_boxes(
    image: Float[Tensor, "y x"], first: Int64[Tensor, "n c"], box_px: int, size: int
) -> Float[Tensor, "n s s"] | None:
    """Cut boxes out of an image and resample them to fewer pixels, in double precision.

    Parameters
    ----------
    image
        Its nearest edge pixel is repeated outside.
    first
        First pixel of each box, x y.
    box_px, size
        Side of the boxes, and of what is returned; even.

    Returns
    -------
    Tensor or None
        None where the loops cannot do it.
    """
    sides = (box_px, box_px // 2, size, size // 2)
    fits = _is_plain(image) and image.dtype == torch.float32 and box_px % 2 == size % 2 == 0
    module = compiled() if fits and all(_is_quick(side, 8) for side in sides) else None
    if module is None:
        return None
    out = torch.empty(len(first), size, size, dtype=torch.float64)
    module.rescaled_boxes(image, first.contiguous(), box_px, out, torch.get_num_threads())
    return out


def along_z_(transform: Complex[Tensor, "z y xh"], rows: slice, width: int, *, back: bool) -> None:
    """Transform columns along z in place, forth or back.

    Parameters
    ----------
    transform
        Of all planes.
    rows, width
        Which columns: so many of each of these rows.
    back
        Which way.
    """
    module = _module_for(transform)
    if module is not None:
        whole = torch.view_as_real(transform)
        module.along_z(whole, rows.start, rows.stop, width, back, torch.get_num_threads())
        return
    block = transform[:, rows, :width]
    step = torch.fft.ifft if back else torch.fft.fft
    if block.numel():
        block.copy_(step(block, dim=0, norm="forward"))


def add_folded_(
    total: Float[Tensor, "y x"], one: Float[Tensor, "ylong xlong"], factor: Tensor
) -> None:
    """Add the product of two planes to a smaller one, onto which it is folded.

    Every n-th coefficient of a plane along each axis is that of the plane folded onto 1/n of its
    side.

    Parameters
    ----------
    total
        A square.
    one, factor
        Squares, whose side is a multiple of that.
    """
    module = compiled()
    if module is not None and all(
        plane.device.type == "cpu" and plane.dtype == torch.float32 and plane.stride(-1) == 1
        for plane in (total, one, factor)
    ):
        module.add_folded(total, one, factor)
        return
    side, n = len(total), len(one) // len(total)
    total += (one * factor).view(n, side, n, side).sum((0, 2))


_BYTES = {torch.float32: 4, torch.complex64: 4, torch.float64: 8, torch.complex128: 8}


@lru_cache(maxsize=256)
def _is_quick(side: int, n_bytes: int) -> bool:
    module = compiled()
    return module is not None and bool(module.is_wide(n_bytes)) and bool(module.is_quick(side))


def _is_plain(one: Tensor) -> bool:
    """Whether the loops can take an array as it lies in memory."""
    return (
        one.device.type == "cpu"
        and one.dtype in _BYTES
        and one.is_contiguous()
        and not (one.requires_grad or one.is_conj() or one.is_neg())
    )


def _module_of(one: Tensor, sizes: tuple[int, int]) -> ModuleType | None:
    """Return the loops where they can take an array, perhaps copied, of images of such sizes."""
    ny, nx = sizes
    n_bytes = _BYTES.get(one.dtype, 0)
    fits = one.device.type == "cpu" and n_bytes and not one.requires_grad and one.numel() > 0
    if not fits or nx % 2 or not (_is_quick(ny, n_bytes) and _is_quick(nx // 2, n_bytes)):
        return None
    return compiled()


def _module_for(*arrays: Tensor) -> ModuleType | None:
    real = arrays[0]
    sides = real.shape[:1] if real.is_complex() else (real.shape[1], real.shape[2] // 2)
    is_even = real.is_complex() or real.shape[2] % 2 == 0
    kinds = {_BYTES.get(one.dtype, 0) for one in arrays}
    if not is_even or len(kinds) > 1 or not all(map(_is_plain, arrays)):
        return None
    n_bytes = kinds.pop()
    return compiled() if all(_is_quick(side, n_bytes) for side in sides) else None
