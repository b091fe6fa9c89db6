"""What belongs to a map: iterations and classes, half-maps, mask, local resolution, symmetry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vitreous.errors import VitreousError
from vitreous.jobs import job_star
from vitreous.programs.display.shelf import Shelf
from vitreous.project.pipeline import job_of_path

_NAME: Final = re.compile(
    r"(?P<root>.*?)_it(?P<iteration>\d{3,})(?:_half(?P<half>[12]))?_class(?P<number>\d{3})\.mrc"
)
_FINAL: Final = re.compile(r"(?P<root>.*?)_class(?P<number>\d{3})\.mrc")
_HALF: Final = re.compile(r"half([12])")
_LOCAL: Final = ("relion_locres.mrc", "half1_resmap.mrc")
_LOCAL_MAP: Final = "relion_locres_filtered.mrc"


def scene(shelf: Shelf, path: str) -> dict[str, Any]:
    """Return what `/api/volumes/scene` tells.

    Parameters
    ----------
    shelf
        The files.
    path
        A map below the project.
    """
    shelf.path(path)
    folder, _, base = path.rpartition("/")
    job = job_of_path(path)
    settings = _settings(shelf, job)
    series = _series(shelf, folder)
    found = _NAME.fullmatch(base)
    iteration = int(found["iteration"]) if found else None
    shown, mask = _pair(shelf, path, settings)
    symmetry = settings.get("sym_name") or None
    return {
        "path": path,
        "shown": shown,
        "iteration": iteration,
        "iterations": sorted(series),
        "final": _final(shelf, folder, base),
        "classes": _classes(shelf, folder, base, series, iteration),
        "halves": _halves(shelf, folder, base, settings),
        "mask": mask,
        "colour_by": _local_resolution(shelf, folder, shown, settings),
        "symmetry": symmetry,
        "axes": axes(symmetry) if symmetry else [],
    }


def at_iteration(shelf: Shelf, path: str, iteration: int) -> str | None:
    """Return the map of the same folder and class at an iteration; None where there is none."""
    folder, _, base = path.rpartition("/")
    found = _NAME.fullmatch(base) or _FINAL.fullmatch(base)
    number = int(found["number"]) if found else 1
    names = _series(shelf, folder).get(iteration, {})
    name = names.get(number) or next(iter(names.values()), None)
    return _in(folder, name) if name else None


def newest(shelf: Shelf, folder: str) -> dict[str, Any]:
    """Return the map of the newest iteration of a job, where it has made one."""
    series = _series(shelf, folder.rstrip("/"))
    if not series:
        return {"path": None, "iteration": None}
    last = max(series)
    return {"path": f"{folder.rstrip('/')}/{min(series[last].values())}", "iteration": last}


def axes(symmetry: str) -> list[dict[str, Any]]:
    """Return the rotation axes of a point group: order and direction (x, y, z)."""
    import torch

    from vitreous.engine import symmetry as groups

    try:
        rotations = groups.rotations(symmetry)
    except VitreousError:
        return []
    identity = torch.eye(3, dtype=rotations.dtype)
    found: list[tuple[Any, int]] = []
    for rotation in rotations:
        if torch.allclose(rotation, identity, atol=1e-6):
            continue
        values, vectors = torch.linalg.eig(rotation)
        direction = vectors[:, (values - 1).abs().argmin()].real
        direction = direction / direction.norm()
        sign = next(float(one) for one in direction.flip(0) if abs(float(one)) > 1e-6)
        direction = direction * (1.0 if sign > 0 else -1.0)
        for place, (known, n) in enumerate(found):
            if abs(float(known @ direction)) > 1 - 1e-6:
                found[place] = (known, n + 1)
                break
        else:
            found.append((direction, 2))
    found.sort(key=lambda one: -one[1])
    return [{"order": n, "direction": direction.tolist()} for direction, n in found]


def _settings(shelf: Shelf, job: str | None) -> Mapping[str, str]:
    if not job:
        return {}
    try:
        return job_star.read_raw(shelf.root / job).texts
    except (VitreousError, OSError):
        return {}


def _names(shelf: Shelf, folder: str) -> list[str]:
    try:
        return sorted(entry.name for entry in (shelf.root / folder).iterdir())
    except OSError:
        return []


def _series(shelf: Shelf, folder: str) -> dict[int, dict[int, str]]:
    """Return the map of each class of each iteration; of two halves the first."""
    found: dict[int, dict[int, str]] = {}
    for name in _names(shelf, folder):
        match = _NAME.fullmatch(name)
        if match and match["half"] != "2":
            found.setdefault(int(match["iteration"]), {})[int(match["number"])] = name
    return found


def _final(shelf: Shelf, folder: str, base: str) -> str | None:
    """Return the map that a refinement ends with, which has no iteration."""
    for name in _names(shelf, folder):
        match = _FINAL.fullmatch(name)
        plain = match and not _NAME.fullmatch(name) and "half" not in name
        if plain and (_NAME.fullmatch(base) or _FINAL.fullmatch(base)):
            return _in(folder, name)
    return None


def _classes(
    shelf: Shelf,
    folder: str,
    base: str,
    series: dict[int, dict[int, str]],
    iteration: int | None,
) -> list[dict[str, Any]]:
    """Return the maps beside a map that stand for other classes of the same iteration."""
    match = _NAME.fullmatch(base)
    if iteration is None or match is None or match["half"]:
        return []
    model = _in(folder, f"{match['root']}_it{match['iteration']}_model.star")
    facts = _facts(shelf, model)
    return [
        {"number": number, "path": _in(folder, name), **facts.get(number, _UNKNOWN)}
        for number, name in sorted(series[iteration].items())
    ]


_UNKNOWN: Final = {"share": None, "resolution_A": None}


def _facts(shelf: Shelf, model: str) -> dict[int, dict[str, float | None]]:
    """Return share and resolution of each class of a model file."""
    try:
        table = shelf.star(model)["model_classes"]
    except (VitreousError, OSError, KeyError):
        return {}

    def values(label: str) -> Iterable[float | None]:
        if label not in table.labels:
            return [None] * len(table)
        return [float(one) for one in table[label]]

    pairs = zip(
        values("rlnClassDistribution"), values("rlnEstimatedResolution"), strict=True
    )  # one row a class
    return {
        number: {"share": share, "resolution_A": _usable(resolution)}
        for number, (share, resolution) in enumerate(pairs, 1)
    }


def _usable(resolution_A: float | None) -> float | None:
    return resolution_A if resolution_A and 0 < resolution_A < 999 else None


def _halves(shelf: Shelf, folder: str, base: str, settings: Mapping[str, str]) -> list[str]:
    """Return the two half-maps that a map comes from."""
    known = [_in(folder, base)] if _HALF.search(base) else []
    given = settings.get("fn_in", "")
    known += [given] if _HALF.search(given) else []
    names = _names(shelf, folder)
    known += [_in(folder, name) for name in names if "_half1_" in name and "_it" not in name]
    for one in known:
        head, slash, tail = one.rpartition("/")
        pair = [head + slash + _HALF.sub(f"half{number}", tail) for number in (1, 2)]
        if all(_is_map(shelf, name) for name in pair):
            return pair
    return []


def _pair(shelf: Shelf, path: str, settings: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the map to show for a file, and the mask that goes with it."""
    folder, _, base = path.rpartition("/")
    if base in _LOCAL and _is_map(shelf, _in(folder, _LOCAL_MAP)):
        return _in(folder, _LOCAL_MAP), _given(shelf, settings, "fn_mask")
    if base == "mask.mrc" and (source := _given(shelf, settings, "fn_in")):
        return source, path
    return path, _given(shelf, settings, "fn_mask")


def _given(shelf: Shelf, settings: Mapping[str, str], key: str) -> str | None:
    name = settings.get(key, "")
    return name if name.endswith(".mrc") and _is_map(shelf, name) else None


def _in(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _is_map(shelf: Shelf, name: str) -> bool:
    try:
        return shelf.path(name).is_file()
    except VitreousError:
        return False


def _local_resolution(
    shelf: Shelf, folder: str, shown: str, settings: Mapping[str, str]
) -> list[str]:
    """Return maps of the local resolution of a map, the newest first.

    They lie in its own folder, or in that of a job that was given the same half-maps.
    """
    mine = [_in(folder, name) for name in _LOCAL if _is_map(shelf, _in(folder, name))]
    given = settings.get("fn_in", "")
    halves = {_whole(given)} if given else set()
    halves |= {_whole(_in(folder, name)) for name in _names(shelf, folder) if "_half1_" in name}
    halves |= {_whole(shown)}
    for job in reversed(_names(shelf, "LocalRes")):
        other = f"LocalRes/{job}"
        source = _settings(shelf, other).get("fn_in", "") if other != folder else ""
        if source and _whole(source) in halves:
            mine += [f"{other}/{name}" for name in _LOCAL if _is_map(shelf, f"{other}/{name}")]
    return mine


def _whole(name: str) -> str:
    return _HALF.sub("half", name)
