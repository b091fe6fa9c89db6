"""Fourier transforms of images and volumes.

With `fourier_volume` and its kernels (`kernels.planes`) all that calls `torch.fft`.

The convention (refinement.md sections 1.1 to 1.3 and 1.5), for a real array of side N whose
origin is the pixel ``N // 2``::

    F(k) = N**-d  sum_j  f(j) exp(-2 pi i k . (j - N // 2) / N)
    f(j) =        sum_k  F(k) exp(+2 pi i k . (j - N // 2) / N)

so that the value at zero frequency is the mean. Only the half with kx >= 0 is stored, with zero
frequency at index 0; along the other axes the frequencies run 0, 1, ..., N // 2, then the
negative ones: the Nyquist row of an even side is the positive one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType

import torch
from jaxtyping import Bool, Complex, Float, Int64
from torch import Tensor

from vitreous.engine.kernels import planes

Size = int | Sequence[int]


def forward(real: Float[Tensor, "*real"], ndim: int) -> Complex[Tensor, "*half"]:
    """Transform real arrays whose origin is their centre.

    Parameters
    ----------
    real
        ``*b y x`` or ``*b z y x``; any sizes, odd or even.
    ndim
        How many trailing axes are transformed: 1, 2 or 3.

    Returns
    -------
    Tensor
        ``*b y xh`` or ``*b z y xh``, divided by the number of samples, phase origin at the
        centre.
    """
    axes = _axes(ndim)
    sizes = real.shape[-ndim:]
    if real.numel() == 0:  # the FFT library refuses an empty batch
        return torch.view_as_complex(real.new_zeros((*real.shape[:-1], sizes[-1] // 2 + 1, 2)))
    if all(size % 2 == 0 for size in sizes):
        return _flip_signs_(_transform(real, ndim), ndim)
    return _transform(torch.roll(real, [-(size // 2) for size in sizes], axes), ndim)


def inverse(
    transform: Complex[Tensor, "*half"], ndim: int, size: Size | None = None
) -> Float[Tensor, "*real"]:
    """Undo `forward`.

    Parameters
    ----------
    transform
        ``*b y xh`` or ``*b z y xh``.
    ndim
        How many trailing axes are transformed.
    size
        Side of the real array, or its sizes in array order. By default the array is square, with
        the side of its slow axes (even in one dimension).

    Returns
    -------
    Tensor
        ``*b y x`` or ``*b z y x``, centred at ``size // 2``.
    """
    axes = _axes(ndim)
    sizes = real_sizes(transform, ndim, size)
    if transform.numel() == 0:
        return transform.real.new_zeros((*transform.shape[:-ndim], *sizes))
    even = all(side % 2 == 0 for side in sizes)
    if even:
        transform = _flip_signs_(transform.clone(), ndim)
    if ndim == 2:
        real = planes.images_of(transform, (sizes[0], sizes[1]))
    else:
        real = torch.fft.irfftn(transform, s=sizes, dim=axes, norm="forward")
    return real if even else torch.roll(real, [side // 2 for side in sizes], axes)


def forward_axis(array: Tensor, axis: int, side: int) -> Complex[Tensor, "*transformed"]:
    """Pad one axis with zeros to `side` and transform it: one step of `forward`, not normalised.

    Parameters
    ----------
    array
        Any axes, centred along the one that is transformed; where real, its half transform is
        taken.
    axis
        The axis.
    side
        Side after padding.
    """
    size = array.shape[axis]
    shape = list(array.shape)
    shape[axis] = side - size
    negative = array.narrow(axis, 0, size // 2)
    positive = array.narrow(axis, size // 2, size - size // 2)
    padded = torch.cat([positive, array.new_zeros(shape), negative], axis)
    real = not padded.is_complex()
    transform: Tensor = (
        torch.fft.rfft(padded, dim=axis) if real else torch.fft.fft(padded, dim=axis)
    )
    return transform


def inverse_axis(
    transform: Complex[Tensor, "*half"], axis: int, size: int, *, real_side: int | None = None
) -> Tensor:
    """Undo `forward_axis` (with its normalisation): the centre of one axis.

    Parameters
    ----------
    transform
        Any axes; zero frequency at index 0 of the one that is transformed.
    axis
        The axis.
    size
        Side of the centre that is returned.
    real_side
        Side of the real axis behind a half transform; by default the axis is complex.
    """
    if real_side is None:
        whole = torch.fft.ifft(transform, dim=axis, norm="forward")
    else:
        whole = torch.fft.irfft(transform, n=real_side, dim=axis, norm="forward")
    before = whole.narrow(axis, whole.shape[axis] - size // 2, size // 2)
    return torch.cat([before, whole.narrow(axis, 0, size - size // 2)], axis)


def forward_from_corner(
    images: Float[Tensor, "*b y x"],
    size: Size | None = None,
    out: Complex[Tensor, "*b yless xhless"] | None = None,
) -> Complex[Tensor, "*b yless xhless"]:
    """Transform images whose origin is their first pixel, keeping the low frequencies only.

    The same numbers as `forward` and `crop`, but for the origin: half of the work where little is
    kept, since columns that are not wanted are never transformed.

    Parameters
    ----------
    images
        ``*b y x``.
    size
        Sizes of the images whose frequencies are kept; by default all are.
    out
        May take the result, where all are kept.
    """
    ny, nx = images.shape[-2:]
    keep_y, keep_x = (ny, nx) if size is None else _sizes(size, 2)
    if (keep_y, keep_x) == (ny, nx):
        return planes.of_images(images, out)
    return _crop_axis(planes.of_columns_(row_transforms(images, keep_x)), -2, keep_y)


def inverse_to_corner(
    transform: Complex[Tensor, "*b y xh"], size: Size
) -> Float[Tensor, "*b yreal xreal"]:
    """Undo `forward_from_corner`: images of the given sizes, origin at their first pixel."""
    ny, nx = _sizes(size, 2)
    return planes.images_of(transform, (ny, nx))


def whole_plane(half: Complex[Tensor, "*b y xh"], size: Size) -> Complex[Tensor, "*b y x"]:
    """Return all frequencies of real images of the given sizes, from those with kx >= 0."""
    plane: Tensor = torch.fft.fft2(inverse_to_corner(half, size), norm="forward")
    return plane


def products_to_corner(
    factors: Float[Tensor, "n y x"],
    plane: Complex[Tensor, "y x"],
    re: Float[Tensor, "nre y x"],
    im: Float[Tensor, "nim y x"],
) -> None:
    """Multiply a plane of all frequencies with factors; fill in images, origin at the first pixel.

    Two real images for little more than one: with factors ``F + i G`` of which F gives real images
    and G too, one is the real part and one the imaginary part.

    Parameters
    ----------
    factors, plane
        As `whole_plane` gives frequencies.
    re, im
        Take the real parts of the first images, and the imaginary ones.
    """
    planes.products_back(factors, plane, re, im)


def angular(half: Complex[Tensor, "n a q"]) -> Complex[Tensor, "m n q"]:
    """Return the angular frequencies m >= 0 of transforms of real images on polar grids.

    As F(-k) = F(k)*, half the circle tells all: the real part has period pi and only even m, the
    imaginary part changes its sign over pi and has only odd m.

    Parameters
    ----------
    half
        ``n a q``: values at the angles ``pi a / n_angles``, ring by ring.

    Returns
    -------
    Tensor
        ``m n q``, as many m as there are angles: ``F = sum c_m exp(i m angle)`` with
        ``c_-m = (-1)^m c_m*``.
    """
    n = half.shape[1]
    even = torch.fft.rfft(half.real, dim=1) / n
    turn = torch.exp(-1j * torch.pi * torch.arange(n) / n)[:, None]
    odd = torch.fft.fft(half.imag * turn, dim=1) * (1j / n)
    out = torch.empty((n, len(half), half.shape[2]), dtype=torch.complex64)
    out[0::2] = even[:, : len(out[0::2])].transpose(0, 1)
    out[1::2] = odd[:, : len(out[1::2])].transpose(0, 1)
    return out


def real_sizes(transform: Tensor, ndim: int, size: Size | None = None) -> tuple[int, ...]:
    """Return the sizes, in array order, of the real array behind a half transform."""
    if size is None:
        shape = transform.shape[-ndim:]
        fast: int = shape[0] if ndim > 1 else 2 * (shape[-1] - 1)
        return (*shape[:-1], fast)
    return _sizes(size, ndim)


def crop(transform: Complex[Tensor, "*half"], size: Size, ndim: int) -> Complex[Tensor, "*less"]:
    """Keep the frequencies of a smaller array: the grey values keep their mean.

    The rows kept are ``0 ... size // 2`` and the last ``(size - 1) // 2``, so an even side keeps
    the *positive* row at its Nyquist frequency (preprocessing.md section 0).

    Parameters
    ----------
    transform
        ``*b y xh`` or ``*b z y xh``.
    size
        New side of the real array, not larger than the old one.
    ndim
        How many trailing axes are frequencies.
    """
    sizes = _sizes(size, ndim)
    cropped = transform[..., : sizes[-1] // 2 + 1]
    for axis, side in zip(range(-ndim, -1), sizes[:-1], strict=True):
        cropped = _crop_axis(cropped, axis, side)
    return cropped.contiguous()


def cropped_forward(
    real: Float[Tensor, "*real"], size: Size, ndim: int
) -> Complex[Tensor, "*less"]:
    """Return what `crop` leaves of `forward`, without computing the rest.

    Parameters
    ----------
    real
        ``*b y x`` or ``*b z y x``.
    size
        Side of the array that the transform belongs to, or its sizes in array order; not larger
        than the old ones.
    ndim
        How many trailing axes are transformed.
    """
    sizes = _sizes(size, ndim)
    if real.numel() == 0 or any(side % 2 for side in (*sizes, *real.shape[-ndim:])):
        return crop(forward(real, ndim), size, ndim)
    return cropped_from_rows(row_transforms(real, sizes[-1]), sizes)


def row_transforms(images: Float[Tensor, "*b y x"], keep: int) -> Complex[Tensor, "*b y xhless"]:
    """Transform rows and keep the frequencies of rows of `keep` pixels; see `cropped_from_rows`."""
    return planes.of_rows(images, keep // 2 + 1)


def cropped_from_rows(
    rows: Complex[Tensor, "*real"], sizes: Sequence[int]
) -> Complex[Tensor, "*less"]:
    """Return what `cropped_forward` does, from the transforms of the rows, which may change.

    Parameters
    ----------
    rows
        ``*b y xh`` or ``*b z y xh``, of `row_transforms`; all sides are even.
    sizes
        Of the array that the transform belongs to, in array order.
    """
    ndim, transform = len(sizes), rows
    for axis, side in zip(_axes(ndim)[:-1], sizes[:-1], strict=True):
        if axis == -2:
            transform = planes.of_columns_(transform)
        else:
            transform = torch.fft.fft(transform, dim=axis, norm="forward")
        transform = _crop_axis(transform, axis, side)
    return _flip_signs_(transform.contiguous(), ndim)


def pad(
    transform: Complex[Tensor, "*half"], size: Size, ndim: int, *, corners: bool = False
) -> Complex[Tensor, "*more"]:
    """Put a transform into the frequencies of a larger array, zero elsewhere.

    Parameters
    ----------
    transform
        ``*b y xh`` or ``*b z y xh`` of a square array.
    size
        New side of the real array, not smaller than the old one.
    ndim
        How many trailing axes are frequencies.
    corners
        Keep also what lies outside the largest circle (sphere) of the input; by default it is
        set to zero (refinement.md section 1.3), if the size changes at all.
    """
    sizes = _sizes(size, ndim)
    old = real_sizes(transform, ndim)
    if not corners and sizes != old:
        inside = squared_radius(old, ndim, transform.device) <= (transform.shape[-1] - 1) ** 2
        transform = transform * inside
    padded = transform
    for axis, side in zip(range(-ndim, -1), sizes[:-1], strict=True):
        padded = _pad_axis(padded, axis, side)
    extra = sizes[-1] // 2 + 1 - padded.shape[-1]
    return torch.nn.functional.pad(padded, (0, extra))


def indices(
    size: Size, ndim: int, device: torch.device | str | None = None
) -> Int64[Tensor, "... c"]:
    """Return the whole-number frequencies of a half transform, components in the order x y z.

    Returns
    -------
    Tensor
        ``y xh c`` or ``z y xh c``; ``kx`` runs from 0, the others from ``-(size - 1) // 2`` to
        ``size // 2`` in FFT order.
    """
    sizes = _sizes(size, ndim)
    axes = [_axis_indices(side, device) for side in sizes[:-1]]
    axes.append(torch.arange(sizes[-1] // 2 + 1, device=device))
    grids = torch.meshgrid(*axes, indexing="ij")
    return torch.stack(grids[::-1], dim=-1)


def frequencies(
    size: Size,
    ndim: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> Float[Tensor, "... c"]:
    """Return the frequencies of a half transform in cycles per pixel, components x y z."""
    sizes = _sizes(size, ndim)
    sides = torch.tensor(sizes[::-1], dtype=dtype, device=device)
    return indices(sizes, ndim, device).to(dtype) / sides


def squared_radius(
    size: Size, ndim: int, device: torch.device | str | None = None
) -> Int64[Tensor, "*half"]:
    """Return the squared length of the whole-number frequency at each pixel of a half transform."""
    sizes = _sizes(size, ndim)
    total = torch.zeros((), dtype=torch.int64, device=device)
    for axis, side in enumerate(sizes):
        index = _axis_indices(side, device)
        if axis == ndim - 1:
            index = torch.arange(side // 2 + 1, device=device)
        total = total + (index**2).reshape(_at_axis(len(index), axis, ndim))
    return total


def shell_index(
    size: int, ndim: int, device: torch.device | str | None = None
) -> Int64[Tensor, "*half"]:
    """Return the shell of each pixel of a half transform: the length of k, rounded."""
    radius = squared_radius(size, ndim, device).to(torch.float64).sqrt()
    return radius.round().to(torch.int64)


def half_plane_mask(
    size: int, ndim: int, device: torch.device | str | None = None
) -> Bool[Tensor, "*half"]:
    """Tell which pixels of a half transform count in a sum (refinement.md section 1.2).

    The plane kx = 0 stores each Friedel pair twice: only one of the two counts (ky > 0, or in
    three dimensions kz > 0 or kz = 0 and ky > 0; and zero frequency itself). Pixels beyond
    shell ``size // 2``, the corners, do not count.
    """
    index = indices(size, ndim, device)
    counts = index[..., 0] > 0
    tied = ~counts
    for component in range(ndim - 1, 0, -1):
        counts = counts | (tied & (index[..., component] > 0))
        tied = tied & (index[..., component] == 0)
    return (counts | tied) & (shell_index(size, ndim, device) < size // 2 + 1)


def shell_sum(
    values: Float[Tensor, "*half"],
    ndim: int,
    n_shells: int | None = None,
    *,
    stored: bool = False,
) -> Float[Tensor, "... s"]:
    """Add up the pixels of each shell of a half transform.

    Parameters
    ----------
    values
        ``*b y xh`` or ``*b z y xh`` of a square array.
    ndim
        How many trailing axes are frequencies.
    n_shells
        Length of the result; by default ``size // 2 + 1``.
    stored
        Count every stored pixel, Friedel pairs twice and corners too, instead of those of
        `half_plane_mask`.

    Returns
    -------
    Tensor
        ``*b s``; summed in double precision, in the type of `values`.
    """
    size = real_sizes(values, ndim)[0]
    n_shells = size // 2 + 1 if n_shells is None else n_shells
    shells, counted = _counted(size, ndim, n_shells, stored, values.device)
    flat = values.flatten(-ndim)[..., counted].to(torch.float64)
    sums = flat.new_zeros((*flat.shape[:-1], n_shells))
    return sums.index_add(-1, shells, flat).to(values.dtype)


def shell_count(
    size: int,
    ndim: int,
    n_shells: int | None = None,
    *,
    stored: bool = False,
    device: torch.device | str | None = None,
) -> Int64[Tensor, " s"]:
    """Return how many pixels `shell_sum` adds up in each shell."""
    n_shells = size // 2 + 1 if n_shells is None else n_shells
    shells, _ = _counted(size, ndim, n_shells, stored, device)
    return torch.bincount(shells, minlength=n_shells)


def shell_mean(
    values: Float[Tensor, "*half"],
    ndim: int,
    n_shells: int | None = None,
    *,
    stored: bool = False,
) -> Float[Tensor, "... s"]:
    """Average the pixels of each shell, as `shell_sum` adds them; 0 where a shell is empty."""
    size = real_sizes(values, ndim)[0]
    count = shell_count(size, ndim, n_shells, stored=stored, device=values.device)
    return shell_sum(values, ndim, n_shells, stored=stored) / count.clamp(min=1)


def shift_phases(
    shift_px: Float[Tensor, "*n c"], size: Size, *, box: Size | None = None
) -> Complex[Tensor, "*half"]:
    """Return the factors that move an array by `shift_px` (refinement.md section 1.5).

    Parameters
    ----------
    shift_px
        Shifts in pixels, components x y (z); a positive shift moves the content to larger
        indices.
    size
        Sizes of the array whose half transform is multiplied.
    box
        Sizes of the array that the pixels of the shift belong to, where the transform is
        cropped from a larger one; by default `size`.

    Returns
    -------
    Tensor
        ``*n y xh`` or ``*n z y xh``: ``exp(-2 pi i k . t / box)``.
    """
    ndim = shift_px.shape[-1]
    sizes, sides = _sizes(size, ndim), _sizes(size if box is None else box, ndim)
    result: Tensor | None = None
    for axis in range(ndim):
        index = _axis_indices(sizes[axis], shift_px.device)
        if axis == ndim - 1:
            index = torch.arange(sizes[axis] // 2 + 1, device=shift_px.device)
        turns = shift_px[..., ndim - 1 - axis, None] * index / sides[axis]
        phases = torch.polar(torch.ones_like(turns), -2 * torch.pi * turns)
        phases = phases.reshape(*phases.shape[:-1], *_at_axis(phases.shape[-1], axis, ndim))
        result = phases if result is None else result * phases
    assert result is not None
    return result


def centring_phases(
    shift_px: Float[Tensor, "n c"], size: int
) -> tuple[Complex[Tensor, "n xh"], Complex[Tensor, "n y"]]:
    """Return factors of columns and rows that centre a transform and move the image.

    ``forward_from_corner(images) * x * y`` is ``forward(images) * shift_phases(shift_px)``; one
    pass less over the pixels.

    Parameters
    ----------
    shift_px
        Components x y.
    size
        Side of the images; must be even.
    """
    if size % 2:
        message = f"images of {size} pixels; the phases of their centre are signs for even sides"
        raise ValueError(message)
    along_x = torch.arange(size // 2 + 1, device=shift_px.device)
    along_y = _axis_indices(size, shift_px.device)
    phases = []
    for index, moved in zip((along_x, along_y), shift_px.unbind(-1), strict=True):
        signs = 1 - 2 * (index % 2).to(shift_px.dtype)
        angles = moved[:, None] * index / size * (-2 * torch.pi)
        phases.append(torch.polar(torch.ones_like(angles), angles) * signs)
    return phases[0], phases[1]


def shift(
    transform: Complex[Tensor, "*half"],
    shift_px: Float[Tensor, "*n c"],
    *,
    box: Size | None = None,
) -> Complex[Tensor, "*shifted"]:
    """Move arrays by `shift_px`, given their half transforms of square arrays.

    See `shift_phases`; leading axes of both arguments broadcast.
    """
    sizes = real_sizes(transform, shift_px.shape[-1])
    return transform * shift_phases(shift_px, sizes, box=box)


def _transform(real: Float[Tensor, "*real"], ndim: int) -> Complex[Tensor, "*half"]:
    """Transform real arrays from their first pixel."""
    if ndim == 2:
        return planes.of_images(real)
    transform: Tensor = torch.fft.rfftn(real, dim=_axes(ndim), norm="forward")
    return transform


def _axes(ndim: int) -> tuple[int, ...]:
    return tuple(range(-ndim, 0))


def _sizes(size: Size, ndim: int) -> tuple[int, ...]:
    sizes = (size,) * ndim if isinstance(size, int) else tuple(size)
    if len(sizes) != ndim:
        message = f"size {sizes} has {len(sizes)} entries, but {ndim} axes are transformed"
        raise ValueError(message)
    return sizes


def _flip_signs_(transform: Tensor, ndim: int) -> Tensor:
    """Multiply by (-1)**(kx + ky + kz), which moves the origin of even arrays to the centre."""
    for parities in range(2**ndim):
        starts = [(parities >> axis) & 1 for axis in range(ndim)]
        if sum(starts) % 2:
            odd: tuple[EllipsisType | slice, ...] = (..., *(slice(s, None, 2) for s in starts))
            transform[odd].neg_()
    return transform


def _crop_axis(transform: Tensor, axis: int, side: int) -> Tensor:
    length = transform.shape[axis]
    if side == length:
        return transform
    n_negative = (side - 1) // 2
    positive = transform.narrow(axis, 0, side // 2 + 1)
    negative = transform.narrow(axis, length - n_negative, n_negative)
    return torch.cat([positive, negative], dim=axis)


def _pad_axis(transform: Tensor, axis: int, side: int) -> Tensor:
    length = transform.shape[axis]
    if side == length:
        return transform
    n_negative = (length - 1) // 2
    positive = transform.narrow(axis, 0, length // 2 + 1)
    negative = transform.narrow(axis, length - n_negative, n_negative)
    shape = list(transform.shape)
    shape[axis] = side - length
    return torch.cat([positive, transform.new_zeros(shape), negative], dim=axis)


def _axis_indices(side: int, device: torch.device | str | None) -> Tensor:
    index = torch.arange(side, device=device)
    return torch.where(index > side // 2, index - side, index)


def _counted(
    size: int, ndim: int, n_shells: int, stored: bool, device: torch.device | str | None
) -> tuple[Tensor, Tensor]:
    """Return the shell of each pixel that counts, and where it stands in the flat transform."""
    shells = shell_index(size, ndim, device).flatten()
    keep = shells < n_shells
    if not stored:
        keep = keep & half_plane_mask(size, ndim, device).flatten()
    counted = torch.nonzero(keep)[:, 0]
    return shells[counted], counted


def _at_axis(length: int, axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(length if other == axis else 1 for other in range(ndim))
