"""Types of jobs as the pipeline file writes them: labels (RELION 4, 5) and numbers (3.1).

What a job type *is* (its options, outputs, cleaning) is declared above this package; here is
only the table that reading and writing a pipeline needs (pipeline.md section 2).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

NO_NUMBER: Final = -1

# By number the label and the folder; tomography has folders of many names.
_TYPES: Final[dict[int, tuple[str, str]]] = {
    0: ("relion.import", "Import"),
    1: ("relion.motioncorr", "MotionCorr"),
    2: ("relion.ctffind", "CtfFind"),
    3: ("relion.manualpick", "ManualPick"),
    4: ("relion.autopick", "AutoPick"),
    5: ("relion.extract", "Extract"),
    7: ("relion.select", "Select"),
    8: ("relion.class2d", "Class2D"),
    9: ("relion.class3d", "Class3D"),
    10: ("relion.refine3d", "Refine3D"),
    12: ("relion.maskcreate", "MaskCreate"),
    13: ("relion.joinstar", "JoinStar"),
    14: ("relion.subtract", "Subtract"),
    15: ("relion.postprocess", "PostProcess"),
    16: ("relion.localres", "LocalRes"),
    18: ("relion.initialmodel", "InitialModel"),
    19: ("relion.multibody", "MultiBody"),
    20: ("relion.polish", "Polish"),
    21: ("relion.ctfrefine", "CtfRefine"),
    22: ("dynamight", "DynaMight"),
    23: ("modelangelo", "ModelAngelo"),
    50: ("relion.importtomo", ""),
    51: ("relion.pseudosubtomo", ""),
    52: ("relion.ctfrefinetomo", ""),
    53: ("relion.framealigntomo", ""),
    54: ("relion.reconstructparticletomo", ""),
    55: ("relion.aligntiltseries", ""),
    56: ("relion.reconstructtomograms", ""),
    57: ("relion.excludetilts", ""),
    58: ("relion.denoisetomo", ""),
    59: ("relion.picktomo", ""),
    99: ("relion.external", "External"),
}
_NUMBER_OF_LABEL: Final = {label: number for number, (label, _) in _TYPES.items()}
_NUMBER_OF_FOLDER: Final = {folder: number for number, (_, folder) in _TYPES.items() if folder}


def from_number(number: int) -> str:
    """Return the label of a job type number, or its digits if nobody knows it."""
    return _TYPES[number][0] if number in _TYPES else str(number)


@lru_cache(maxsize=4096)
def to_number(label: str) -> int:
    """Return the number of a label, dropping dotted parts from the right until one is known.

    A folder name (``Class2D``) is understood too; an unknown label gives `NO_NUMBER`.
    """
    if label.lstrip("-").isdigit():
        return int(label)
    known = base_label(label)
    return _NUMBER_OF_LABEL.get(known, NO_NUMBER)


@lru_cache(maxsize=4096)
def base_label(label: str) -> str:
    """Return the label without the suffixes that RELION 4 and 5 add, or the label itself.

    Examples
    --------
    >>> base_label("relion.class2d.helical")
    'relion.class2d'
    """
    if label in _NUMBER_OF_FOLDER:
        return _TYPES[_NUMBER_OF_FOLDER[label]][0]
    parts = label.split(".")
    while parts:
        known = ".".join(parts)
        if known in _NUMBER_OF_LABEL:
            return known
        parts.pop()
    return label


def from_folder(folder: str) -> str:
    """Return the label of the jobs that live in a folder such as ``Class2D``.

    A folder that no job type owns belongs to an external program.
    """
    return _TYPES[_NUMBER_OF_FOLDER.get(folder.strip("/"), 99)][0]


def to_folder(label: str) -> str:
    """Return the folder of a job type, or an empty text where nobody knows it."""
    return _TYPES.get(to_number(label), ("", ""))[1]
