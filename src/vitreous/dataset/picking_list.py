"""Micrographs that are picked from: their optics and CTF, as the engine takes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from vitreous.dataset.optics_tables import GROUP, main_table, optics_of, pixel_size_A
from vitreous.dataset.reading import read_with_optics
from vitreous.engine.ctf import Defocus, Optics
from vitreous.errors import InputError
from vitreous.io import Table

NAME: Final = "rlnMicrographName"
_CTF: Final = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_MICROSCOPE: Final = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")


@dataclass(frozen=True)
class Micrograph:
    """One micrograph of the list.

    Parameters
    ----------
    name
        Its file, from the project folder.
    pixel_size_A
        0 where nobody knows it.
    optics, defocus
        One group and one image; None where the list does not tell them. The optics have a box of
        one pixel: `on_grid` makes it that of the micrograph.
    problem
        Why it cannot be used; empty where it can.
    """

    name: str
    pixel_size_A: float
    optics: Optics | None = None
    defocus: Defocus | None = None
    problem: str = ""

    def on_grid(self, full: tuple[int, int], device: torch.device) -> Optics:
        """Return the optics of a half transform of a micrograph of sides ``y x``, not square."""
        if self.optics is None:
            raise InputError(
                f"its optics group lacks one of {', '.join(_MICROSCOPE)}, so there is no CTF"
            )
        steps = torch.diag(torch.tensor([1 / full[1], 1 / full[0]], dtype=torch.float64))
        return replace(self.optics, magnification=steps[None]).to(device)


@dataclass(frozen=True)
class PickingList:
    """All micrographs, with the table they come from."""

    optics: Table
    rows: Table
    micrographs: tuple[Micrograph, ...]


def read_picking_list(path: Path, given_pixel_A: float = -1.0) -> PickingList:
    """Read the micrographs to pick from.

    Parameters
    ----------
    path
        STAR file of any version.
    given_pixel_A
        Takes the place of the pixel size of the optics groups where it is above 0.

    Raises
    ------
    FormatError
        It lists no micrographs, or has no optics groups.
    InputError
        The list is empty, or a pixel size is missing and none is given.
    """
    star = read_with_optics(path)
    table = main_table(star, NAME, str(path))
    if not len(table):
        raise InputError(f"{path}: it lists no micrographs. Take a list that has some.")
    optics = optics_of(star, str(path))
    groups = {int(row[GROUP]): dict(row) for row in optics.rows()}
    given = given_pixel_A if given_pixel_A > 0 else None
    found = tuple(_micrograph(dict(row), groups, given) for row in table.rows())
    return PickingList(optics, table, found)


def require_ctf(micrographs: tuple[Micrograph, ...], path: str) -> None:
    """Refuse a list in which no micrograph has a CTF."""
    if all(one.defocus is None for one in micrographs):
        raise InputError(
            f"{path}: none of its micrographs has {' '.join(_CTF)}, but the templates are to be "
            "multiplied by the CTF. Take the list of a CtfFind job, or say No to “Templates are "
            "CTF-corrected”."
        )


def _micrograph(
    row: Mapping[str, Any], groups: Mapping[int, Mapping[str, Any]], given_A: float | None
) -> Micrograph:
    number = int(row.get(GROUP, 1 if len(groups) == 1 else 0))
    group = groups.get(number, {})
    pixel = given_A or pixel_size_A(group) or 0.0
    both = {**group, **row}
    microscope = [both.get(label) for label in _MICROSCOPE]
    optics = None
    if pixel > 0 and all(isinstance(value, int | float) for value in microscope):
        voltage_kV, cs_mm, contrast = (float(str(value)) for value in microscope)
        optics = Optics.of(
            pixel_size_A=pixel,
            box_px=1,
            voltage_kV=voltage_kV,
            cs_mm=cs_mm,
            amplitude_contrast=contrast,
        )
    return Micrograph(
        str(row[NAME]), pixel, optics, _defocus(both), _problem(number, groups, pixel)
    )


def _problem(number: int, groups: Mapping[int, object], pixel_A: float) -> str:
    """Return why a micrograph cannot be used."""
    if number not in groups:
        there = ", ".join(map(str, sorted(groups)))
        return (
            f"{GROUP} is {number}, but data_optics has {there}. Import it again, or correct the "
            "list."
        )
    if not pixel_A > 0:
        return "nobody knows its pixel size: its optics group has none. Give it as “Pixel size”."
    return ""


def _defocus(row: Mapping[str, Any]) -> Defocus | None:
    if not all(label in row for label in _CTF[:2]):
        return None
    u, v, angle = (
        torch.tensor([float(row.get(label, 0.0))], dtype=torch.float64) for label in _CTF
    )
    shift = torch.tensor([float(row.get("rlnPhaseShift", 0.0))], dtype=torch.float64)
    return replace(Defocus.of(u, v, angle), phase_shift_deg=shift)
