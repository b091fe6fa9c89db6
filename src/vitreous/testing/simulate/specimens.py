"""What is on the grid: one or several states of a molecule, from models or maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import read_volume
from vitreous.testing.simulate.atoms import SHIPPED, Atoms, is_model, read_atoms
from vitreous.testing.simulate.density import Scatterers, from_atoms, from_volume
from vitreous.testing.simulate.rotations import operators
from vitreous.testing.simulate.scattering import NET_AMPLITUDE_A_PER_DA, phase_per_amplitude_A


@dataclass(frozen=True)
class Inputs:
    """Where the molecules come from.

    Parameters
    ----------
    files
        Models or maps, one for each state; empty for the beta-galactosidase that is shipped.
    weights
        Share of each state; empty for equal shares.
    point_group
        Copies of each input are made about the origin by it.
    assembly
        Biological assembly of the model file; empty for its atoms as they are.
    mass_kDa
        Of a molecule given as a map, whose grey values have no unit; 0 for unknown.
    keep_waters, centre
        Keep ordered waters; move the middle of the first state to the origin.
    """

    files: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    point_group: str = ""
    assembly: str = ""
    mass_kDa: float = 0.0
    keep_waters: bool = False
    centre: bool = True


@dataclass(frozen=True)
class State:
    """One conformation and its share of the particles, 0 to 1."""

    name: str
    scatterers: Scatterers
    share: float


def read_states(
    inputs: Inputs, voltage_kV: float, *, needs_units: bool
) -> tuple[tuple[State, ...], list[str]]:
    """Read all states.

    Parameters
    ----------
    inputs
        Where from.
    voltage_kV
        Decides how strongly atoms scatter.
    needs_units
        Whether the contrast must be physical, so that a map needs its mass.

    Returns
    -------
    tuple
        The states, and notes for the user.
    """
    files = inputs.files or (str(SHIPPED),)
    shares = _shares(inputs.weights, len(files))
    for file in files:
        if not Path(file).is_file():
            raise MissingFileError(f"{file}: no such file; wanted a model (PDB, mmCIF) or a map.")
    if inputs.assembly and inputs.point_group:
        raise InputError("--assembly and --sym both build the molecule; give one of them.")
    states: list[State] = []
    notes: list[str] = []
    centre_A = None
    for file, share in zip(files, shares, strict=True):
        if is_model(file):
            atoms = _molecule(file, inputs)
            notes += atoms.notes
            if inputs.centre:
                centre_A = atoms.centre_A if centre_A is None else centre_A
                atoms = atoms.moved(-centre_A)
            scatterers = from_atoms(atoms, voltage_kV)
        else:
            scatterers = _from_map(file, inputs, voltage_kV, needs_units=needs_units)
        states.append(State(file, scatterers, share))
    return tuple(states), notes


def _molecule(file: str, inputs: Inputs) -> Atoms:
    atoms = read_atoms(file, assembly=inputs.assembly, keep_waters=inputs.keep_waters)
    group = inputs.point_group or ("D2" if not inputs.files else "C1")
    return atoms if inputs.assembly else atoms.symmetrised(group)


def _from_map(file: str, inputs: Inputs, voltage_kV: float, *, needs_units: bool) -> Scatterers:
    volume = read_volume(file)
    if inputs.assembly:
        raise InputError(f"{file} is a map, which has no biological assembly; use --sym.")
    if volume.data.ndim != 3 or min(volume.data.shape) < 2:
        raise FormatError(f"{file}: {volume.data.shape} is one image; wanted a map.")
    if volume.pixel_size_A <= 0:
        raise FormatError(
            f"{file}: the header has no pixel size. Write one with "
            f"`vitreous image --i {file} --angpix A --o NEW`."
        )
    total = float(volume.data.sum(dtype=np.float64))
    if not np.any(volume.data):
        raise FormatError(f"{file}: every value is 0; nothing would be seen.")
    amount = volume.pixel_size_A**2
    if inputs.mass_kDa > 0:
        if total <= 0:
            raise FormatError(
                f"{file}: its values sum to {total:g}, so that no mass can be given to them. "
                "Make the solvent 0 and the molecule positive (a mask does both)."
            )
        wanted = 2 * phase_per_amplitude_A(voltage_kV) * NET_AMPLITUDE_A_PER_DA
        amount = wanted * inputs.mass_kDa * 1e3 / total
    elif needs_units:
        raise InputError(
            f"{file} is a map, whose grey values have no unit: give the mass of the molecule with "
            "--mass (kDa), so that its contrast is known."
        )
    points = from_volume(volume.data, volume.pixel_size_A, amount)
    if inputs.point_group in ("", "C1"):
        return points
    turns = operators(inputs.point_group)
    return Scatterers(
        np.concatenate([points.positions_A @ turn.T for turn in turns]),
        np.tile(points.weights / len(turns), (len(turns), 1)),
        points.k_per_A,
        points.functions,
    )


def _shares(weights: Sequence[float], n: int) -> tuple[float, ...]:
    if not weights:
        return (1 / n,) * n
    if len(weights) != n:
        raise InputError(
            f"--weights has {len(weights)} numbers for {n} inputs; wanted one for each state."
        )
    if min(weights) < 0 or sum(weights) <= 0:
        raise InputError(
            f"--weights {' '.join(f'{w:g}' for w in weights)}: none may be negative, nor all 0."
        )
    return tuple(weight / sum(weights) for weight in weights)
