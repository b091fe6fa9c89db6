"""Maps and class averages of an iteration, their moments, and how model files name them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.refinement.names import Names
from vitreous.engine.refinement.state import Model, Moments
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import parse_ref, read_mrc, write_volume


def write_references(
    names: Names, half: int, model: Model, folder: Path, *, with_moments: bool = True
) -> list[str]:
    """Write the references of one model, and their moments where it has any.

    Parameters
    ----------
    names
        Of the iteration.
    half
        0, or 1 for the second half.
    model
        What is written, in float32.
    folder
        The project folder.

    Returns
    -------
    list of str
        The files written.
    """
    files = _write(names, half, "class", [_array(map_) for map_ in model.references], model, folder)
    if with_moments and model.moments:
        first = [tiled(moments.first) for moments in model.moments]
        second = [_array(moments.second) for moments in model.moments]
        files += _write(names, half, "1moment", first, model, folder)
        files += _write(names, half, "2moment", second, model, folder)
    return files


def _write(
    names: Names,
    half: int,
    kind: str,
    arrays: Sequence[NDArray[np.float32]],
    model: Model,
    folder: Path,
) -> list[str]:
    if model.ndim == 2:
        name = names.stack(half, "classes" if kind == "class" else kind)
        write_volume(folder / name, np.stack(arrays), model.pixel_size_A)
        return [name]
    written = []
    for class_, array in enumerate(arrays):
        written.append(names.map(half, class_, kind))
        write_volume(folder / written[-1], array, model.pixel_size_A)
    return written


def read_references(images: Sequence[str], folder: Path, ndim: int) -> Tensor:
    """Read what the column ``rlnReferenceImage`` names.

    Returns
    -------
    Tensor
        ``k z y x`` or ``k y x``, float32.
    """
    arrays = read_arrays(images, folder)
    shapes = {array.shape for array in arrays}
    wanted = arrays[0].shape[-1]
    if shapes != {(wanted,) * ndim}:
        told = ", ".join(sorted(" x ".join(map(str, shape[::-1])) for shape in shapes))
        raise FormatError(
            f"{images[0]} and the other {len(images) - 1} references are {told} pixels; all must "
            f"be {'square averages' if ndim == 2 else 'cubes'} of one size."
        )
    return torch.from_numpy(np.stack(arrays))


def read_arrays(images: Sequence[str], folder: Path) -> list[NDArray[np.float32]]:
    """Read maps, or sections of stacks; each file once."""
    files: dict[str, NDArray[np.float32]] = {}
    arrays = []
    for image in images:
        ref = parse_ref(image)
        if ref.path not in files:
            files[ref.path] = read_mrc(folder / ref.path)[0].astype(np.float32, copy=False)
        whole = files[ref.path]
        if ref.index0 is not None and ref.index0 >= len(whole):
            raise FormatError(f"{image}: the stack has only {len(whole)} images.")
        arrays.append(whole if ref.index0 is None else whole[ref.index0])
    return arrays


def tiled(first: Tensor) -> NDArray[np.float32]:
    """Lay first moments, ``2 *grid`` complex, out as one real array that an MRC file can hold.

    Four parts stand along the first axis: real and imaginary part of the one pseudo-half, then of
    the other. The columns are the positive frequencies.
    """
    parts = torch.view_as_real(first).movedim(-1, 1)
    return _array(parts.reshape(-1, *first.shape[2:]))


def read_moments(first: Sequence[str], second: Sequence[str], folder: Path) -> tuple[Moments, ...]:
    """Read what `write_references` wrote of the moments of every class."""
    pairs = zip(read_arrays(first, folder), read_arrays(second, folder), strict=True)
    return tuple(
        Moments(untiled(one, two.shape), torch.from_numpy(np.ascontiguousarray(two)))
        for one, two in pairs
    )


def untiled(array: NDArray[np.float32], shape: tuple[int, ...]) -> Tensor:
    """Undo `tiled` for first moments of a grid of the given shape: ``2 *grid`` complex."""
    if array.shape != (4 * shape[0], *shape[1:]):
        raise FormatError(
            f"moments of shape {array.shape} do not belong to a grid of {shape}; they were not "
            "written here."
        )
    parts = torch.from_numpy(np.ascontiguousarray(array)).reshape(2, 2, *shape)
    return torch.view_as_complex(parts.movedim(1, -1).contiguous())


def require_files(files: Sequence[str], folder: Path, named_in: str) -> None:
    """Refuse a model whose maps are gone, all of them at once."""
    lost = [name for name in files if not (folder / parse_ref(name).path).is_file()]
    if lost:
        raise MissingFileError(
            f"{named_in}: {', '.join(lost[:5])}{' and more' if len(lost) > 5 else ''} cannot be "
            "found. Go on from an iteration whose maps are still there; cleaning a job removes "
            "those of earlier ones."
        )


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
    return array
