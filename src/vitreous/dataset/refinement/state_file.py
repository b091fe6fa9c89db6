"""Every digit of an iteration in one file, bound to the files beside it by their digests.

STAR files and maps are what everybody reads and edits; they hold float32 at best. This file keeps
the rest, so that a run that was stopped goes on as if it had not been. It counts only while the
files that it was written with are unchanged.

It is an uncompressed NumPy archive of arrays; the array ``about`` is JSON text in UTF-8.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.refinement.plain import from_plain, to_plain
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import (
    Assignments,
    Model,
    Moments,
    Sampling,
    Schedule,
    State,
)
from vitreous.io.atomic import replacing

FORMAT = 1
_CHUNK = 1 << 22
_ABOUT = "about"


@dataclass(frozen=True)
class Kept:
    """What a state file gave back."""

    state: State
    settings: Settings


def digest(path: Path) -> str:
    """Return the digest of a file."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def digest_of(content: bytes) -> str:
    """Return the digest that a file of this content will have."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_state(
    path: Path,
    state: State,
    settings: Settings,
    digests: Mapping[str, str],
) -> None:
    """Write the file, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    state, settings
        What is kept; references and moments of single precision are in their maps already.
    digests
        Of the files that it belongs to, by their names from the project folder.
    """
    arrays: dict[str, NDArray[Any]] = {}
    about = {
        "format": FORMAT,
        "digests": dict(digests),
        "settings": to_plain(settings),
        "schedule": to_plain(state.schedule),
        "sampling": to_plain(state.sampling),
        "models": [_scalars(model, f"model{i}", arrays) for i, model in enumerate(state.models)],
    }
    for item in fields(Assignments):
        arrays[f"assignments.{item.name}"] = getattr(state.assignments, item.name)
    text = json.dumps(about, ensure_ascii=False).encode()
    with replacing(path) as stream, zipfile.ZipFile(stream, "w", allowZip64=True) as archive:
        for name, array in {_ABOUT: np.frombuffer(text, np.uint8), **arrays}.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def _scalars(model: Model, prefix: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """Put the tensors of a model among the arrays; return what is left."""
    left: dict[str, Any] = {}
    for item in fields(Model):
        value = getattr(model, item.name)
        if item.name == "moments":
            left["n_moments"] = len(value)
            for class_, moments in enumerate(value):
                pair = (moments.first, moments.second)
                if [one.dtype for one in pair] != [torch.complex64, torch.float32]:
                    arrays[f"{prefix}.first{class_}"] = _array(moments.first)
                    arrays[f"{prefix}.second{class_}"] = _array(moments.second)
        elif isinstance(value, Tensor):
            if item.name != "references" or value.dtype != torch.float32:
                arrays[f"{prefix}.{item.name}"] = _array(value)
        else:
            left[item.name] = to_plain(value)
    return left


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def read_state(
    path: Path, folder: Path, files: Sequence[str], from_files: Sequence[Model], notices: list[str]
) -> Kept | None:
    """Read the file, if it belongs to the files as they are now.

    Parameters
    ----------
    path
        The state file.
    folder
        What names of files are relative to.
    files
        Every file of the iteration.
    from_files
        Models as the STAR files and maps tell them; they lend what is in the maps.
    notices
        Why the file was passed over is added here.

    Returns
    -------
    Kept or None
        None where there is no such file, or where another file was changed.
    """
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            about = json.loads(archive[_ABOUT].tobytes())
            changed = _changed(about, folder, files)
            if changed:
                notices.append(
                    f"{path.name} is not used, because {changed}. What the STAR files and maps "
                    "say holds; the run goes on with their precision."
                )
                return None
            return _kept(about, archive, from_files)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        notices.append(
            f"{path.name} is not used, because it cannot be read ({error}). What the STAR files "
            "and maps say holds; the run goes on with their precision."
        )
        return None


def _changed(about: Mapping[str, Any], folder: Path, files: Sequence[str]) -> str:
    if about.get("format") != FORMAT:
        return "another version of the program wrote it"
    known: dict[str, str] = about["digests"]
    foreign = [name for name in files if name not in known]
    if foreign:
        return f"{foreign[0]} is not among the files that it was written with"
    altered = [name for name, was in known.items() if _digest_or_none(folder / name) != was]
    if not altered:
        return ""
    more = f" and {len(altered) - 1} more were" if len(altered) > 1 else " was"
    return f"{altered[0]}{more} changed since"


def _digest_or_none(path: Path) -> str | None:
    return digest(path) if path.is_file() else None


def _kept(about: Mapping[str, Any], archive: Mapping[str, Any], lent: Sequence[Model]) -> Kept:
    assignments = {item.name: archive[f"assignments.{item.name}"] for item in fields(Assignments)}
    models = [
        _model(plain, f"model{i}", archive, lent[i]) for i, plain in enumerate(about["models"])
    ]
    state = State(
        from_plain(Schedule, about["schedule"]),
        from_plain(Sampling, about["sampling"]),
        tuple(models),
        Assignments(**assignments),
    )
    return Kept(state, from_plain(Settings, about["settings"]))


def _model(plain: Mapping[str, Any], prefix: str, archive: Mapping[str, Any], lent: Model) -> Model:
    """Put a model together; what neither file knows keeps its default."""
    values: dict[str, Any] = {}
    for item in fields(Model):
        name = f"{prefix}.{item.name}"
        if item.name == "moments":
            numbers = range(plain["n_moments"])
            values["moments"] = tuple(_moments(archive, prefix, k, lent) for k in numbers)
        elif name in archive:
            values[item.name] = torch.from_numpy(archive[name])
        elif item.name == "references":
            values["references"] = lent.references
        elif item.name in plain:
            value = plain[item.name]
            values[item.name] = tuple(value) if isinstance(value, list) else value
    return Model(**values)


def _moments(archive: Mapping[str, Any], prefix: str, class_: int, lent: Model) -> Moments:
    if f"{prefix}.first{class_}" not in archive:
        return lent.moments[class_]
    first, second = (archive[f"{prefix}.{name}{class_}"] for name in ("first", "second"))
    return Moments(torch.from_numpy(first), torch.from_numpy(second))
