"""CTF estimation with our own engine, one micrograph or a batch of them at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.micrograph_ctf import (
    Estimate,
    Listed,
    Micrograph,
    Microscope,
    require_microscope,
)
from vitreous.engine import ctf_fit, ctf_rings, ctf_spectrum
from vitreous.engine.ctf_search import Range
from vitreous.engine.ctf_spectrum import Spectra
from vitreous.errors import FormatError, InputError
from vitreous.io import read_volume
from vitreous.jobs.context import Run
from vitreous.programs.ctffind_files import write_curves, write_picture
from vitreous.programs.ctffind_frame import Estimation


@dataclass(frozen=True)
class Wanted:
    """How spectra are made and fitted.

    Parameters
    ----------
    search
        What is searched.
    coarsest_A, finest_A
        Resolutions between which rings are fitted.
    box_px, window_px
        Side of spectra of images, and of the central square that is used; below 0 for all.
    spectra
        Whether power spectra of motion correction are used where there are any.
    needs_unweighted
        Whether sums without dose weighting must be there.
    """

    search: Range
    coarsest_A: float
    finest_A: float
    box_px: int
    window_px: int
    spectra: bool
    needs_unweighted: bool


@dataclass(frozen=True)
class Image:
    """What was read of a micrograph.

    Parameters
    ----------
    data
        ``y x``: a micrograph, or a spectrum with zero frequency in the middle.
    pixel_size_A
        Sampling.
    is_spectrum
        Whether it is a spectrum.
    """

    data: NDArray[np.float32]
    pixel_size_A: float
    is_spectrum: bool


@dataclass(frozen=True)
class Found:
    """The CTF of a micrograph, and what is drawn of it."""

    estimate: Estimate
    picture: NDArray[np.float32]
    curves: tuple[NDArray[np.float64], ...]
    extent_A: float


class OwnEstimation(Estimation[Image, Found]):
    """Estimate the CTF of micrographs from their spectra.

    Parameters
    ----------
    run, listed, stems
        See `Estimation`.
    wanted
        What is done.
    """

    def __init__(self, run: Run, listed: Listed, stems: Mapping[str, str], wanted: Wanted) -> None:
        super().__init__(run, listed, stems)
        self._wanted = wanted

    def load(self, unit: Micrograph) -> Image:
        """Read the power spectrum of a micrograph, or the micrograph."""
        microscope = require_microscope(unit)
        wanted = self._wanted
        if wanted.spectra and unit.spectrum:
            path = self.run.project / unit.spectrum
            if path.is_file():
                return read_spectrum(path)
            self.run.warn(
                "Power spectra are not there any more; the micrographs are used.", unit.spectrum
            )
        return read_micrograph(self._source(unit), microscope.pixel_size_A, wanted.window_px)

    def compute(
        self, units: Sequence[Micrograph], loaded: Sequence[Image], device: torch.device
    ) -> list[Found]:
        """Fit a batch: those of one size and microscope together."""
        alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for number, (unit, image) in enumerate(zip(units, loaded, strict=True)):
            key = (image.data.shape, image.pixel_size_A, image.is_spectrum, unit.microscope)
            alike[key].append(number)
        found: dict[int, Found] = {}
        for numbers in alike.values():
            self.run.check_abort()
            stack = np.stack([loaded[number].data for number in numbers])
            spectra = spectra_of(
                torch.from_numpy(stack).to(device), loaded[numbers[0]], self._wanted
            )
            pictures = [self.files(units[number]).picture for number in numbers]
            microscope = require_microscope(units[numbers[0]])
            fits = estimate(spectra, microscope, self._wanted, pictures)
            found.update(zip(numbers, fits, strict=True))
        return [found[number] for number in range(len(units))]

    def save(self, unit: Micrograph, computed: Found) -> tuple[Micrograph, Estimate]:
        """Write picture, curves and, last, the result."""
        files = self.files(unit)
        files.make_folder()
        side = computed.picture.shape[-1]
        picture = self.run.project / files.picture
        write_picture(picture, computed.picture, computed.extent_A / side)
        write_curves(files.curves, computed.curves, unit.name, computed.extent_A, side)
        files.finish(computed.estimate)
        return unit, computed.estimate

    def _source(self, unit: Micrograph) -> Path:
        return self.run.project / source_of(unit, needs_unweighted=self._wanted.needs_unweighted)


def source_of(unit: Micrograph, *, needs_unweighted: bool) -> str:
    """Return the image to fit: dose weighting takes the rings at high resolution away.

    Raises
    ------
    InputError
        Only the sum without dose weighting will do, and there is none.
    """
    if needs_unweighted and not unit.unweighted:
        raise InputError(
            f"{unit.name}: there is no sum without dose weighting (rlnMicrographNameNoDW). Say No "
            "to “Use the unweighted micrographs”, or let MotionCorr write them."
        )
    return unit.unweighted or unit.name


def read_spectrum(path: Path) -> Image:
    """Read a power spectrum that motion correction wrote; its header tells the pixel size."""
    volume = read_volume(path)
    if not volume.pixel_size_A > 0:
        raise FormatError(f"{path}: the header tells no pixel size, so its frequencies are unknown")
    return Image(_one_image(volume.data, path), volume.pixel_size_A, is_spectrum=True)


def read_micrograph(path: Path, pixel_size_A: float, window_px: int) -> Image:
    """Read a micrograph, or the central square of it."""
    data = _one_image(read_volume(path).data, path)
    if window_px > 0:
        y, x = (max(0, (side - window_px) // 2) for side in data.shape)
        data = np.ascontiguousarray(data[y : y + window_px, x : x + window_px])
    return Image(data, pixel_size_A, is_spectrum=False)


def spectra_of(stack: torch.Tensor, like: Image, wanted: Wanted) -> Spectra:
    """Return the spectra of images that are all like one."""
    if like.is_spectrum:
        return ctf_spectrum.of_centred_planes(stack, like.pixel_size_A)
    return ctf_spectrum.of_images(stack, like.pixel_size_A, wanted.box_px, wanted.coarsest_A)


def estimate(
    spectra: Spectra, microscope: Microscope, wanted: Wanted, pictures: Sequence[str]
) -> list[Found]:
    """Fit spectra of one microscope and make what is drawn of them."""
    optics = microscope.optics
    scene = ctf_fit.prepare(spectra, optics, wanted.coarsest_A, wanted.finest_A)
    fit = ctf_fit.fit(scene, wanted.search)
    resolution = ctf_rings.resolution_A(ctf_rings.profile(scene, fit), wanted.finest_A)
    whole = ctf_fit.prepare(spectra, optics, wanted.coarsest_A, 2 * spectra.pixel_size_A)
    profile = ctf_rings.profile(whole, fit)
    curves = torch.stack(
        [
            profile.frequency_per_A.expand_as(profile.ctf),
            profile.rotational,
            profile.equiphase,
            profile.ctf,
            profile.correlation,
            profile.by_chance,
        ],
        1,
    )
    ice = ctf_rings.ice_ring_density(profile)
    images = ctf_rings.picture(whole, fit).cpu().numpy()
    has_rings = fit.figure_of_merit > 0
    return [
        Found(
            Estimate(
                picture,
                float(fit.defocus_u_A[i]),
                float(fit.defocus_v_A[i]),
                float(fit.astigmatism_deg[i]),
                float(fit.figure_of_merit[i]),
                float(resolution[i]) if bool(has_rings[i]) else math.inf,
                float(fit.phase_shift_deg[i]) if wanted.search.fits_phase else None,
                float(ice[i]),
            ),
            images[i],
            tuple(curves[i].to(torch.float64).cpu().numpy()),
            spectra.extent_A,
        )
        for i, picture in enumerate(pictures)
    ]


def _one_image(data: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if data.ndim == 3 and len(data) == 1:
        data = data[0]
    if data.ndim != 2:
        raise FormatError(
            f"{path}: it holds {len(data)} images, wanted one micrograph; sum the frames of a "
            "movie with MotionCorr first"
        )
    return data
