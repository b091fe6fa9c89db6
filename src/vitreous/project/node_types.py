"""Types of nodes: what a file between two jobs holds.

In memory every type is a label in the form of RELION 5. RELION 3.1 wrote numbers and RELION 4
other stems; both are translated on reading and back on writing (pipeline.md section 2).
A label or number that nobody knows is kept as it is: an unknown number as its digits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

MOVIES: Final = "MicrographMovieGroupMetadata.star.relion"
MICROGRAPHS: Final = "MicrographGroupMetadata.star.relion"
COORDINATES: Final = "MicrographCoordsGroup.star.relion"
PARTICLES: Final = "ParticleGroupMetadata.star.relion"
IMAGES_2D: Final = "Image2DGroupMetadata.star.relion"
OPTIMISER: Final = "OptimiserData.star.relion"
MODEL_STAR: Final = "ModelData.star.relion"
DENSITY_MAP: Final = "DensityMap.mrc"
HALF_MAP: Final = "DensityMap.mrc.halfmap"
FINAL_MAP: Final = "DensityMap.mrc.relion.postprocess"
MASK: Final = "Mask3D.mrc"
LOCRES_MAP: Final = "Image3D.mrc.resmap.localresmap"
POSTPROCESS: Final = "ProcessData.star.relion.postprocess"
LOG_PDF: Final = "LogFile.pdf.relion"
POLISH_PARAMS: Final = "ParamsData.txt.relion.polish"
SEQUENCE: Final = "Sequence.fasta"
MODEL: Final = "AtomCoords.cif"

NO_NUMBER: Final = -1

# RELION 3.1 numbers; 4 (movie particles of RELION 2) is dead.
_OF_NUMBER: Final[dict[int, str]] = {
    0: MOVIES,
    1: MICROGRAPHS,
    2: COORDINATES,
    3: PARTICLES,
    5: IMAGES_2D,
    6: DENSITY_MAP,
    7: MASK,
    8: MODEL_STAR,
    9: OPTIMISER,
    10: HALF_MAP,
    11: FINAL_MAP,
    12: LOCRES_MAP,
    13: LOG_PDF,
    14: POSTPROCESS,
    15: POLISH_PARAMS,
}

# The first part of a label decides, except where keywords further on make a type of its own.
_OF_STEM: Final[dict[str, int]] = {
    "MicrographMovieGroupMetadata": 0,
    "MicrographGroupMetadata": 1,
    "MicrographCoordsGroup": 2,
    "ParticleGroupMetadata": 3,
    "Image2DGroupMetadata": 5,
    "Image2DStack": 5,
    "DensityMap": 6,
    "Mask3D": 7,
    "ModelData": 8,
    "OptimiserData": 9,
    "Image3D": 12,
    "LogFile": 13,
    "ParamsData": 15,
}
_OF_KEYWORD: Final[tuple[tuple[str, str, int], ...]] = (
    ("DensityMap", "halfmap", 10),
    ("DensityMap", "postprocess", 11),
    ("DensityMap", "localresfiltered", 11),
    ("ProcessData", "optimiser", 9),
    ("ProcessData", "postprocess", 14),
)

# (stem of RELION 4, stem of RELION 5); longest first, because they are replaced as prefixes.
_STEMS_4_5: Final[tuple[tuple[str, str], ...]] = (
    ("ProcessData.star.relion.optimiser", OPTIMISER),
    ("MicrographMoviesData", "MicrographMovieGroupMetadata"),
    ("MicrographsData", "MicrographGroupMetadata"),
    ("MicrographsCoords", "MicrographCoordsGroup"),
    ("ParticlesData", "ParticleGroupMetadata"),
    ("ImagesData", "Image2DGroupMetadata"),
)


def from_number(number: int) -> str:
    """Return the label of a node type number of RELION 3.1, or its digits if unknown."""
    return _OF_NUMBER.get(number, str(number))


@lru_cache(maxsize=4096)
def to_number(label: str) -> int:
    """Return the number of RELION 3.1 for a label of any form, or `NO_NUMBER`."""
    if label.lstrip("-").isdigit():
        return int(label)
    first, *rest = to_form(label, "5.0").split(".")
    for stem, keyword, number in _OF_KEYWORD:
        if first == stem and keyword in rest:
            return number
    return _OF_STEM.get(first, NO_NUMBER)


@lru_cache(maxsize=4096)
def to_form(label: str, form: str) -> str:
    """Return `label` as a pipeline of `form` spells it: ``"4.0"`` or ``"5.0"``."""
    for old, new in _STEMS_4_5:
        found, wanted = (new, old) if form == "4.0" else (old, new)
        if label == found or label.startswith(f"{found}."):
            return wanted + label[len(found) :]
    return label


def accepts(wanted: str, node_type: str) -> bool:
    """Tell whether a field that reads `wanted` takes a node of `node_type`.

    As in RELION's file browser the part before the first dot decides, so that any
    specialisation fits: a field for ``DensityMap.mrc`` takes a half-map too.
    """
    return _stem(wanted) == _stem(node_type)


def _stem(label: str) -> str:
    """Return the part before the first dot, in the form of RELION 5."""
    if label.lstrip("-").isdigit():
        label = from_number(int(label))
    return to_form(label, "5.0").partition(".")[0]
