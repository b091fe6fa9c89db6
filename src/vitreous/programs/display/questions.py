"""Every question that the worker answers, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vitreous.errors import InputError
from vitreous.programs.display import denoised, scenes, sheets, surfaces, tables, tiles, volumes
from vitreous.programs.display.grey import Look
from vitreous.programs.display.shelf import Shelf


@dataclass(frozen=True)
class Answer:
    """Named values, and the bytes of a picture where there is one."""

    values: dict[str, Any] = field(default_factory=dict)
    data: bytes = b""


def answer(shelf: Shelf, what: str, arguments: Mapping[str, Any]) -> Answer:
    """Answer one question.

    Parameters
    ----------
    shelf
        The files.
    what
        A name of `QUESTIONS`.
    arguments
        By name; a ``look`` is a mapping of the fields of `Look`.
    """
    if what not in QUESTIONS:
        raise InputError(f"there is no question {what}")
    given = dict(arguments)
    if "look" in given:
        given["look"] = Look(**given["look"])
    found = QUESTIONS[what](shelf, **given)
    return Answer(found) if isinstance(found, dict) else Answer(*found)


def _sprite(shelf: Shelf, **given: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 - by name
    path, look = given.pop("path"), given.pop("look")
    return sheets.sprite(shelf, path, look, sheets.Sheet(**given))


def _surface(shelf: Shelf, path: str, **view: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 - by name
    over = [surfaces.Layer(**one) for one in view.pop("over")]
    return surfaces.surface(shelf, path, surfaces.View(**view, over=over))


def _at_iteration(shelf: Shelf, path: str, iteration: int) -> dict[str, Any]:
    return {"path": scenes.at_iteration(shelf, path, iteration), "iteration": iteration}


def _fft(shelf: Shelf, **given: Any) -> tuple[dict[str, Any], bytes]:  # noqa: ANN401 - by name
    from vitreous.programs.display import spectra  # loads torch

    return spectra.fft(shelf, **given)


def _profile(shelf: Shelf, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - by name
    from vitreous.programs.display import spectra  # loads torch

    return spectra.profile(shelf, **given)


def _flowchart_pdf(shelf: Shelf, root: str, job: str) -> tuple[dict[str, Any], bytes]:
    from vitreous.project.flowchart import draw
    from vitreous.project.flowchart_pdf import to_pdf
    from vitreous.project.folder import ProjectFolder

    del root
    pipeline = ProjectFolder.open(shelf.root, read_only=True).read()
    pictures = draw(shelf.root, pipeline, pipeline.find(job))
    return {}, to_pdf(pictures, title=f"History of {job}")


def _picture_pdf(shelf: Shelf, picture: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from vitreous.project import scene
    from vitreous.project.flowchart_pdf import to_pdf

    boxes = [scene.Box(**{**box, "lines": tuple(box["lines"])}) for box in picture["boxes"]]
    drawn = scene.Picture(
        picture["number"],
        picture["width"],
        picture["height"],
        boxes,
        [scene.Arrow(**arrow) for arrow in picture["arrows"]],
        [scene.Text(**text) for text in picture["texts"]],
    )
    return {}, to_pdf([drawn], title=Path(shelf.root).name)


QUESTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "describe": tables.describe,
    "table": tables.part,
    "histogram": tables.histogram,
    "sprite": _sprite,
    "one": sheets.one,
    "average": sheets.average,
    "star": tables.chosen,
    "image_meta": tiles.image_meta,
    "tile": tiles.tile,
    "line": tiles.line,
    "value": tiles.value,
    "denoise": denoised.prepare,
    "denoised": denoised.keep,
    "fft": _fft,
    "profile": _profile,
    "volume_meta": volumes.meta,
    "volume_scene": scenes.scene,
    "volume_at": _at_iteration,
    "volume_newest": scenes.newest,
    "volume_data": volumes.data,
    "volume_slice": volumes.one_slice,
    "surface": _surface,
    "flowchart_pdf": _flowchart_pdf,
    "picture_pdf": _picture_pdf,
}
