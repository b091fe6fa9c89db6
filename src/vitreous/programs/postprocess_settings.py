"""What a post-processing job is asked to do: its form and its additional arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.errors import InputError
from vitreous.io import read_star
from vitreous.jobs.postprocess import PostProcess
from vitreous.programs.extra_flags import Flags

_COUNTS = {"filter_edge_width": 2, "random_seed": 0, "n_random": 1, "n_splits": 0}


@dataclass(frozen=True)
class Extra:
    """Additional arguments, named as RELION names them; `n_random` and the last four are ours.

    Parameters
    ----------
    i2
        The other half-map; empty finds it by its name.
    half_maps
        Write the sharpened half-maps too.
    molweight
        Ordered mass in kDa, 0 for unknown.
    force_mask
        Keep the masked curve even if the unmasked one goes further.
    autob_highres
        Finest resolution of the B-factor's fit in Å; 0 for the resolution of the map.
    low_pass
        Å; 0 for none, below 0 for the resolution found.
    randomize_at_fsc, randomize_at_A
        Where the randomised phases begin; -1 Å leaves it to the curve.
    filter_edge_width
        Of the low-pass filter, in shells.
    random_seed, n_random
        Of the random phases, and how many sets of them are averaged.
    skip_validation, particles, sym, n_splits
        See `vitreous.programs.validation.Wanted`.
    """

    i2: str = ""
    half_maps: bool = False
    molweight: float = 0.0
    force_mask: bool = False
    autob_highres: float = 0.0
    low_pass: float = 0.0
    randomize_at_fsc: float = 0.8
    randomize_at_A: float = -1.0
    filter_edge_width: int = 2
    random_seed: int = 0
    n_random: int = 1
    skip_validation: bool = False
    particles: str = ""
    sym: str = ""
    n_splits: int = 0


def read_extra(options: PostProcess) -> Extra:
    """Parse the additional arguments."""
    flags = Flags("PostProcess")
    for name in ("half_maps", "force_mask", "skip_validation"):
        flags.add_argument(f"--{name}", action="store_true")
    for name in ("i2", "particles", "sym"):
        flags.add_argument(f"--{name}", default="")
    for name in ("molweight", "autob_highres", "low_pass"):
        flags.add_argument(f"--{name}", type=float, default=0.0)
    flags.add_argument("--randomize_at_fsc", type=float, default=0.8)
    flags.add_argument("--randomize_at_A", type=float, default=-1.0)
    for name, default in _COUNTS.items():
        flags.add_argument(f"--{name}", type=int, default=default)
    extra = Extra(**vars(flags.read(options.running.other_arguments)))
    for name in ("molweight", "autob_highres"):
        value = getattr(extra, name)
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"Additional arguments: --{name} is {value:g}; wanted 0 or more.")
    if not 0 < extra.randomize_at_fsc < 1:
        raise InputError(
            f"Additional arguments: --randomize_at_fsc is {extra.randomize_at_fsc:g}; wanted a "
            "correlation between 0 and 1."
        )
    if extra.n_random < 1:
        raise InputError(f"Additional arguments: --n_random is {extra.n_random}; wanted 1 or more.")
    if extra.n_splits < 0:
        raise InputError(f"Additional arguments: --n_splits is {extra.n_splits}; wanted 0 or more.")
    return extra


def read_mtf(project: Path, name: str) -> tuple[Tensor, Tensor]:
    """Read the modulation transfer function of a detector.

    Returns
    -------
    tuple of Tensor
        Frequencies in cycles per pixel of the detector, rising, and values, float64.
    """
    labels = "rlnResolutionInversePixel", "rlnMtfValue"
    for table in read_star(project / name).values():
        if all(label in table.labels for label in labels):
            k, value = (torch.tensor(np.asarray(table[label], np.float64)) for label in labels)
            break
    else:
        raise InputError(
            f"{name} has no table with {labels[0]} and {labels[1]}; wanted the STAR file that "
            "goes with the detector."
        )
    if len(k) < 2 or bool((k.diff() <= 0).any()) or float(value.min()) <= 0:
        raise InputError(
            f"{name}: wanted two rows or more, {labels[0]} rising and {labels[1]} above 0; found "
            f"{len(k)} rows and values down to {float(value.min()) if len(value) else 0:g}."
        )
    return k, value
