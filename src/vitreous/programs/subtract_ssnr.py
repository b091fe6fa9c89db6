"""Spectral signal-to-noise ratio of the images of a refinement (``--ssnr`` of a Subtract job).

Signal is the mean power of projections of the whole map, as the microscope shows them; noise is
that of what is left of the images without them. Both are powers of one component of the complex
values, half of ``|F|^2``, as in the model of a refinement. A mask has no part in it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import fourier, subtraction
from vitreous.engine.kernels import shells
from vitreous.errors import InputError
from vitreous.io import Table, write_star
from vitreous.jobs.context import Run
from vitreous.programs.subtract_work import Inputs

FILE = "spectral_snr.star"
_TOGETHER = 64
_SHELL_0_A = 999.0


def write_ssnr(run: Run, inputs: Inputs) -> None:
    """Measure the powers over all particles; write the table and show it.

    Raises
    ------
    InputError
        Particles differ in box or pixel size, so that they have no shells in common.
    """
    particles = inputs.particles
    groups = np.unique(particles.group).tolist()
    sizes = {(particles.box_px(group), particles.pixel_size_A(group)) for group in groups}
    if len(sizes) > 1:
        raise InputError(
            "The optics groups have boxes and pixels of different sizes "
            f"({', '.join(f'{box} px of {pixel:g} Å' for box, pixel in sorted(sizes))}), and one "
            "spectrum is asked for with --ssnr. Give the particles of one of them as other "
            "particles."
        )
    ((box_px, pixel_A),) = sizes
    powers = torch.zeros(2, box_px // 2 + 1, dtype=torch.float64)
    with run.phase("Measuring powers", len(particles), "particles") as progress:
        for group in groups:
            rows = np.flatnonzero(particles.group == group)
            for start in range(0, len(rows), _TOGETHER):
                run.check_abort()
                some = rows[start : start + _TOGETHER]
                powers += _powers(inputs, some)
                progress.advance(len(some))
    signal, noise = powers / (2 * shells.counts(box_px, 2) * len(particles))
    _write(run, signal, noise, box_px * pixel_A)


def _powers(inputs: Inputs, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Tensor:
    """Return powers of the map in images and of what is left, summed over particles."""
    views = inputs.views.select(rows)
    removed = subtraction.predicted(inputs.terms[0][0], inputs.data, rows, views, inputs.image)
    left, _ = subtraction.subtracted(inputs.data.read(rows), removed, views)
    sums = shells.correlate(fourier.forward(removed, 2), fourier.forward(left, 2), 2)
    return sums[..., 1:].sum(0).T


def _write(run: Run, signal: Tensor, noise: Tensor, side_A: float) -> None:
    index = np.arange(len(signal))
    ratio = torch.where(noise > 0, signal / noise.clamp(min=1e-300), 0.0)
    columns: dict[str, object] = {
        "rlnSpectralIndex": index,
        "rlnResolution": index / side_A,
        "rlnAngstromResolution": np.where(index > 0, side_A / np.maximum(index, 1), _SHELL_0_A),
        "rlnSignalToNoiseRatio": ratio.numpy(),
        "rlnReferenceTau2": signal.numpy(),
        "rlnSigma2Noise": noise.numpy(),
    }
    write_star(run.path / FILE, [Table.from_columns("", columns)])
    run.say(f"{run.folder}{FILE}: power of the map in the images over that of the rest, by shell")
    above = torch.nonzero(ratio[1:] < 1)
    shell = int(above[0, 0]) if len(above) else len(ratio) - 1
    found = f"{side_A / shell:.2f} Å" if shell else "no resolution"
    run.say(f"It stays above 1 up to {found}")
