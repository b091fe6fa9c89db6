"""The two built-in ways of picking: blobs by the Laplacian of Gaussian, and templates."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.picking_list import Micrograph, PickingList
from vitreous.dataset.picks import filament_table, picks_table
from vitreous.engine import ctf as ctf_model
from vitreous.engine import fourier
from vitreous.engine.ctf import Treatment
from vitreous.engine.picking import blobs, filaments, matching, peaks, preparation, templates
from vitreous.engine.picking.preparation import Coarse
from vitreous.errors import InputError
from vitreous.io import Table
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.programs.autopick_settings import Extra, blob_search, filament_search, peak_search
from vitreous.programs.autopick_work import Picked, Picking, prepared, read_map


class BlobPicking(Picking):
    """Laplacian-of-Gaussian picking; see `Picking`."""

    def __init__(
        self,
        run: Run,
        listed: PickingList,
        stems: Mapping[str, str],
        options: AutoPick,
        extra: Extra,
    ) -> None:
        super().__init__(run, listed, stems)
        self.options, self.extra = options, extra
        self.search = blob_search(options, extra)

    def pick(self, unit: Micrograph, image: Tensor) -> Picked:
        """Find blobs."""
        at = preparation.coarse(
            (image.shape[0], image.shape[1]),
            unit.pixel_size_A,
            self.options.log_max_resolution_A,
            keep_size=self.extra.keep_size,
        )
        if self.options.read_fom_maps:
            found = self._kept(unit, image.device)
        else:
            transformed = preparation.normalised_transform(image, at)
            if self.extra.ctf_to_first_peak:
                transformed = transformed / _first_peak(unit, at, image.device)
            found = blobs.answers(transformed, at, self.search, white=self.options.log_white)
        picked = blobs.pick_blobs(found, at, self.search)
        table = picks_table(picked.places_px.numpy(), picked.merit.numpy())
        keep = self.options.write_fom_maps
        return Picked(
            table,
            {"bestLoG": _numpy(found.merit), "bestSize": _numpy(found.diameter_A)} if keep else {},
        )

    def _kept(self, unit: Micrograph, device: torch.device) -> blobs.Answers:
        merit, size = (
            torch.from_numpy(read_map(self.map_file(unit, name))).to(device)
            for name in ("bestLoG", "bestSize")
        )
        return blobs.Answers(merit, size)


class TemplatePicking(Picking):
    """Template matching; see `Picking`.

    Parameters
    ----------
    images, pixel_size_A
        References ``n y x`` as read.
    """

    def __init__(
        self,
        run: Run,
        listed: PickingList,
        stems: Mapping[str, str],
        options: AutoPick,
        extra: Extra,
        images: Tensor,
        pixel_size_A: float,
    ) -> None:
        super().__init__(run, listed, stems)
        self.options, self.extra = options, extra
        self.images, self.pixel_size_A = images, pixel_size_A
        self._made: dict[object, tuple[templates.References, templates.Basis, Tensor]] = {}
        self._lock = Lock()

    def pick(self, unit: Micrograph, image: Tensor) -> Picked:
        """Match the references."""
        options = self.options
        at = self.sampling((image.shape[0], image.shape[1]), unit.pixel_size_A)
        refs, waves, averaging = self._ready(at, image.device)
        scaled, transformed = prepared(image, at, options.high_pass_A)
        squared = preparation.transform(scaled.square(), at)
        around = matching.background(transformed, squared, averaging, at)
        ctf = self._ctf(unit, at, image.device)
        of_place = self._of_place(transformed, refs, at)
        found = matching.match(transformed, around, refs, waves, at, ctf, of_place)
        if options.read_fom_maps:
            found = self._kept(unit, found)
        search = peak_search(options, self.extra, refs.box_px, refs.radius_px, unit.pixel_size_A)
        if options.pick_helix:
            table = self._filaments(found, waves, at, search)
        else:
            picked = peaks.find_peaks(found, waves, at, search)
            table = picks_table(
                picked.places_px, picked.merit, picked.reference + 1, picked.psi_deg
            )
        return Picked(table, self._maps(found, waves, at))

    def _of_place(
        self, transformed: Tensor, refs: templates.References, at: Coarse
    ) -> matching.Background | None:
        """Return mean and deviation inside the mask, where correlation coefficients are wanted."""
        if not self.extra.correlation_coefficient:
            return None
        curve = templates.low_pass(at, self.options.low_pass_A, transformed.device)
        return matching.inside(transformed, curve, refs.radius_px, at)

    def sampling(self, full: tuple[int, int], pixel_size_A: float) -> Coarse:
        """Return the work grid of a micrograph."""
        return preparation.coarse(
            full,
            pixel_size_A,
            self.options.low_pass_A,
            self.options.shrink,
            keep_size=self.extra.keep_size,
        )

    def map_bytes(self, full: tuple[int, int]) -> int:
        """Return what the correlation maps of one micrograph take, and the waves behind them.

        There are at most as many waves as references and angles, or as a disc has independent
        values at the work sampling.
        """
        pixel_A = next((u.pixel_size_A for u in self.listed.micrographs if u.pixel_size_A > 0), 0.0)
        if not (pixel_A and min(full)):
            return 0
        at, refs = self.sampling(full, pixel_A), self.references(pixel_A)
        n_turned = len(refs) * ceil(360 / self.options.in_plane_step_deg)
        radius = refs.radius_px * max(at.scale)
        n_waves = min(n_turned, int(5 * (radius + 2) ** 2))
        return at.work[0] * at.work[1] * 4 * (3 * n_waves + 2 * len(refs))

    def references(self, micrograph_pixel_A: float) -> templates.References:
        """Return the references at the sampling of the micrographs, masked."""
        return templates.references(
            self.images,
            self.pixel_size_A,
            micrograph_pixel_A,
            self.extra.particle_diameter_A,
            invert=self.options.invert_templates,
            shrink_mask_px=self.extra.shrink_mask_px,
        )

    def _ready(
        self, at: Coarse, device: torch.device
    ) -> tuple[templates.References, templates.Basis, Tensor]:
        """Return what all micrographs of one size and sampling share; made once."""
        key = (at, device)
        with self._lock:
            if key not in self._made:
                refs = self.references(at.pixel_size_A)
                refs = templates.References(refs.images.to(device), refs.radius_px)
                step = self.options.in_plane_step_deg
                waves = templates.basis(refs, at, step, self.options.low_pass_A)
                averaging = self._averaging(at, refs, device)
                self._made[key] = refs, waves, averaging
            return self._made[key]

    def _averaging(self, at: Coarse, refs: templates.References, device: torch.device) -> Tensor:
        """Return what averages the background: around the mask, or around a filament."""
        if not self.options.pick_helix:
            return matching.surroundings(at, refs.box_px, refs.radius_px, device)
        tube_px = self.options.tube_diameter_A / at.pixel_size_A
        given_A = self.extra.local_diameter_A
        wide = given_A / at.pixel_size_A if given_A > 0 else 3 * tube_px
        box_px = min(2 * int(wide / 2), *at.full)
        return matching.surroundings(at, box_px, int(tube_px / 2), device, is_round=True)

    def _ctf(self, unit: Micrograph, at: Coarse, device: torch.device) -> Tensor | None:
        if not self.options.templates_are_ctf_corrected or self.extra.gaussian:
            return None
        return _ctf(unit, at, device, intact=self.options.ignore_ctf_before_first_peak)

    def _filaments(
        self, found: matching.Merits, waves: templates.Basis, at: Coarse, search: peaks.PeakSearch
    ) -> Table:
        """Trace filaments through the merits and place segments along them."""
        merit, reference = found.merit.max(0)
        psi = _numpy(_best_psi(found, waves, reference, at))
        allowed = peaks.where_allowed(found.background, at, search).cpu().numpy()
        scale = float(np.mean(at.scale))
        wanted = filament_search(self.options, search, at.pixel_size_A / scale)
        tracks = filaments.trace(_numpy(merit), psi, allowed, wanted)
        step = max(1.0, search.min_distance_px * scale)
        ends = self.extra.start_end
        placed = filaments.ends(tracks) if ends else filaments.segments(tracks, step)
        rows = np.clip(np.rint(placed.places).astype(int), 0, np.array(at.work[::-1]) - 1)
        pixels = (rows[:, 1], rows[:, 0])
        return filament_table(
            placed.places / np.array(at.scale),
            _numpy(merit)[pixels],
            reference.cpu().numpy()[pixels] + 1,
            placed.psi_deg,
            placed.track + 1,
            placed.along * at.pixel_size_A / scale,
        )

    def _maps(
        self, found: matching.Merits, waves: templates.Basis, at: Coarse
    ) -> dict[str, NDArray[np.float32]]:
        if not self.options.write_fom_maps:
            return {}
        kept = {
            "avgNoise": _numpy(found.background.mean),
            "stddevNoise": _numpy(found.background.sigma),
        }
        for number, merit in enumerate(found.merit):
            of_this = torch.full_like(merit, number, dtype=torch.int64)
            kept[f"ref{number:06d}_bestCCF"] = _numpy(merit)
            kept[f"ref{number:06d}_bestPSI"] = _numpy(_best_psi(found, waves, of_this, at))
        return kept

    def _kept(self, unit: Micrograph, found: matching.Merits) -> matching.Merits:
        """Take the merits that an earlier run kept."""
        merit = [
            torch.from_numpy(read_map(self.map_file(unit, f"ref{number:06d}_bestCCF")))
            for number in range(len(found.merit))
        ]
        stacked = torch.stack(merit).to(found.merit.device)
        if stacked.shape != found.merit.shape:
            raise InputError(
                f"the maps of merit kept for it have {tuple(stacked.shape)} pixels, but "
                f"{tuple(found.merit.shape)} are wanted: shrink factor, low-pass filter or "
                "references have changed. Write the maps anew."
            )
        return matching.Merits(stacked, found.maps, found.background)


def _best_psi(
    found: matching.Merits, waves: templates.Basis, reference: Tensor, at: Coarse
) -> Tensor:
    """Return the best angle of a reference (which one: ``y x``) at every place, in degrees."""
    psi = torch.zeros(at.work[0] * at.work[1], dtype=torch.float32)
    flat = reference.flatten()
    for number in range(len(found.merit)):
        pixels = torch.nonzero(flat == number)[:, 0]
        turn = matching.best_angles(found.maps, waves.weights[number], pixels).cpu()
        psi[pixels.cpu()] = waves.psi_deg[turn].to(torch.float32)
    return psi.reshape(at.work)


def _ctf(unit: Micrograph, at: Coarse, device: torch.device, *, intact: bool) -> Tensor:
    """Return the CTF of a micrograph on the work grid ``y xh``."""
    if unit.defocus is None:
        raise InputError("it has no defocus (rlnDefocusU, rlnDefocusV), so no CTF")
    side = max(at.work)
    treatment = Treatment(intact_first_peak=intact)
    optics = unit.on_grid(at.full, torch.device("cpu"))
    square = ctf_model.ctf(optics, unit.defocus, side, treatment=treatment)
    whole = torch.complex(square, torch.zeros_like(square))
    return fourier.crop(whole, at.work, 2)[0].real.contiguous().to(device)


def _first_peak(unit: Micrograph, at: Coarse, device: torch.device) -> Tensor:
    """Return the CTF up to its first peak and 1 beyond it."""
    whole = _ctf(unit, at, device, intact=False)
    return torch.where(_ctf(unit, at, device, intact=True) == 1, whole, 1.0).clamp(min=0.01)


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return values.to(torch.float32).cpu().numpy()
