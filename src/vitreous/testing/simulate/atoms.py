"""Atomic models: read with gemmi, cleaned, built up to the whole molecule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.testing.simulate.rotations import operators

if TYPE_CHECKING:
    import gemmi

Array = npt.NDArray[np.float64]

SHIPPED = Path(__file__).parents[2] / "data" / "5a1a_chain_a.cif.gz"
ENDINGS = (".pdb", ".ent", ".cif", ".mmcif", ".pdb.gz", ".ent.gz", ".cif.gz", ".mmcif.gz")


@dataclass(frozen=True)
class Atoms:
    """Atoms of a model.

    Parameters
    ----------
    elements
        ``(n,)``, symbols such as ``C``.
    positions_A
        ``(n, 3)``, x y z.
    b_A2
        ``(n,)``, isotropic B-factors.
    occupancy
        ``(n,)``, 0 to 1.
    has_hydrogens
        Whether the model has hydrogen atoms of its own.
    notes
        What was left out or chosen, for the user to read.
    """

    elements: npt.NDArray[np.str_]
    positions_A: Array
    b_A2: Array
    occupancy: Array
    has_hydrogens: bool
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.elements)

    @property
    def centre_A(self) -> Array:
        """Mean position of the atoms, x y z."""
        return np.asarray(np.average(self.positions_A, axis=0, weights=self.occupancy + 1e-9))

    def moved(self, by_A: Array) -> Atoms:
        """Return the atoms moved by a vector."""
        return replace(self, positions_A=self.positions_A + by_A)

    def symmetrised(self, point_group: str) -> Atoms:
        """Return a copy of the atoms for each operator of a point group about the origin."""
        turns = operators(point_group)
        n = len(turns)
        return replace(
            self,
            elements=np.tile(self.elements, n),
            positions_A=np.concatenate([self.positions_A @ turn.T for turn in turns]),
            b_A2=np.tile(self.b_A2, n),
            occupancy=np.tile(self.occupancy, n),
        )


def read_atoms(path: Path | str, *, assembly: str = "", keep_waters: bool = False) -> Atoms:
    """Read a model from PDB or mmCIF, packed or not.

    Of alternate locations the most occupied is kept, of several models the first; both are told
    in `notes`.

    Parameters
    ----------
    path
        The file.
    assembly
        Name of the biological assembly to build, such as ``1``; empty for the atoms as they are.
    keep_waters
        Keep ordered waters; they are part of the ice otherwise.

    Raises
    ------
    MissingFileError, FormatError
        No such file, no model, no atoms, or elements that are not known.
    """
    import gemmi

    if not Path(path).is_file():
        raise MissingFileError(f"{path}: no such file; wanted an atomic model (PDB or mmCIF).")
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError, OSError) as error:
        raise FormatError(f"{path}: cannot be read as PDB or mmCIF ({error}).") from error
    notes = []
    if len(structure) > 1:
        notes.append(f"{path} holds {len(structure)} models; the first is used.")
    model = _assembled(structure, assembly, str(path)) if len(structure) else None
    rows, n_alternate, n_water = _rows(model, keep_waters=keep_waters)
    if not rows:
        waters = f" (its {n_water} waters are left out)" if n_water else ""
        raise FormatError(
            f"{path}: a model with no atoms{waters}; wanted ATOM or HETATM records (PDB) or an "
            "_atom_site loop (mmCIF)."
        )
    if n_alternate:
        notes.append(
            f"{path}: {n_alternate:,} atoms are at alternate locations; of each the most occupied "
            "is used, with the occupancies of all."
        )
    elements, positions, b_factors, occupancy = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    return _checked(
        str(path),
        Atoms(elements, positions, b_factors, occupancy, bool(np.isin(elements, ("H", "D")).any())),
        notes,
    )


def is_model(path: Path | str) -> bool:
    """Tell whether the name is that of an atomic model."""
    return str(path).lower().endswith(ENDINGS)


def _assembled(structure: gemmi.Structure, assembly: str, where: str) -> gemmi.Model:
    import gemmi

    if not assembly:
        return structure[0]
    names = [candidate.name for candidate in structure.assemblies]
    if assembly not in names:
        raise InputError(
            f"{where}: no biological assembly {assembly!r}; it describes "
            f"{', '.join(names) or 'none'}. Build the molecule with --sym instead."
        )
    chosen = structure.assemblies[names.index(assembly)]
    return gemmi.make_assembly(chosen, structure[0], gemmi.HowToNameCopiedChain.Short)


_Row = tuple[str, list[float], float, float]


def _rows(model: gemmi.Model | None, *, keep_waters: bool) -> tuple[list[_Row], int, int]:
    """Return the atoms, how many records were alternate locations, and how many were waters."""
    rows: list[_Row] = []
    n_alternate = n_water = 0
    for chain in model or ():
        for residue in chain:
            if residue.is_water() and not keep_waters:
                n_water += len(residue)
                continue
            best: dict[str, tuple[float, float, gemmi.Atom]] = {}
            for atom in residue:
                if atom.altloc in ("\0", " ", ""):
                    rows.append((atom.element.name, atom.pos.tolist(), atom.b_iso, atom.occ))
                    continue
                n_alternate += 1
                known = best.get(atom.name)
                total = atom.occ + (known[1] if known else 0.0)
                if known is None or atom.occ > known[0]:
                    best[atom.name] = (atom.occ, total, atom)
                else:
                    best[atom.name] = (known[0], total, known[2])
            rows += [
                (atom.element.name, atom.pos.tolist(), atom.b_iso, min(total, 1.0))
                for _, total, atom in best.values()
            ]
    return rows, n_alternate, n_water


def _checked(where: str, atoms: Atoms, notes: list[str]) -> Atoms:
    unknown = atoms.elements == "X"
    if unknown.any():
        raise FormatError(
            f"{where}: the element of {int(unknown.sum()):,} of {len(atoms):,} atoms is not given "
            f"(the first is atom {int(np.argmax(unknown)) + 1}); wanted it in columns 77-78 (PDB) "
            "or in type_symbol (mmCIF)."
        )
    broken = ~(np.isfinite(atoms.positions_A).all(1) & np.isfinite(atoms.b_A2))
    if broken.any():
        raise FormatError(
            f"{where}: {int(broken.sum()):,} atoms have coordinates or B-factors that are not "
            f"numbers (the first is atom {int(np.argmax(broken)) + 1})."
        )
    if (atoms.b_A2 < 0).any():
        notes.append(f"{where}: {int((atoms.b_A2 < 0).sum()):,} negative B-factors are taken as 0.")
    if not (atoms.occupancy > 0).any():
        raise FormatError(f"{where}: the occupancy of every atom is 0; nothing would be seen.")
    return replace(atoms, b_A2=np.clip(atoms.b_A2, 0, None), notes=tuple(notes))
