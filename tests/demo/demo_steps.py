"""The steps of the demonstration, in their order."""

from __future__ import annotations

STEPS = {
    "microscope": "external",
    "movies": "import",
    "aligned": "motioncorr",
    "ctf": "ctffind",
    "picks": "autopick",
    "particles": "extract",
    "classes": "class2d",
    "good": "select",
    "first_map": "initialmodel",
    "sorted": "class3d",
    "refined": "refine3d",
    "mask": "maskcreate",
    "sharpened": "postprocess",
    "local_resolution": "localres",
}
ALIASES = list(STEPS)
WORDS = list(STEPS.values())
