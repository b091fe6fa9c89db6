"""What an Extract job does with one micrograph: read, cut, write."""

from __future__ import annotations

import queue
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset import extraction_rows, helical_picks
from vitreous.dataset.optics_tables import GROUP
from vitreous.dataset.particles import Particles, optics_record
from vitreous.engine import extraction
from vitreous.engine.ctf import Treatment
from vitreous.engine.extraction import Correction, Recipe
from vitreous.errors import FormatError, InputError
from vitreous.io import StackWriter, Star, Table, read_star, write_star
from vitreous.io.coordinates import TABLE, read_picks
from vitreous.jobs.context import Run
from vitreous.programs.extract_inputs import MICROGRAPH, Inputs, Micrograph
from vitreous.programs.micrograph_list import Work
from vitreous.programs.reused_memory import ReusedMemory

FEW = 10
_WRITTEN_TOGETHER = 64


@dataclass(frozen=True)
class Plan:
    """What is done with the picks of every micrograph.

    Parameters
    ----------
    recipe
        What is done with every box; the radius of filaments is set for each micrograph.
    float16
        Whether two bytes a pixel are written.
    min_fom, selection_type
        Which picks are taken; None takes all.
    segments_A
        Distance of boxes along filaments that are given by start and end; 0 for one box each,
        below 0 where coordinates are taken as they are.
    tube_diameter_A
        Of filaments; 0 for particles that are no filaments.
    bimodal
        Whether both directions of filaments are tried.
    reset_origins, recentre
        What becomes of refined shifts.
    centre_px, reference_pixel_A
        Point of the reference that becomes the centre; pixel size that it counts, below 0 for
        that of the particles.
    treatment, ctf_box_px
        CTF that boxes are multiplied by, and in which box; None does not.
    bias_px
        Added to all coordinates.
    seed
        Of the noise that replaces dust.
    """

    recipe: Recipe
    float16: bool = False
    min_fom: float | None = None
    selection_type: int | None = None
    segments_A: float = -1.0
    tube_diameter_A: float = 0.0
    bimodal: bool = False
    reset_origins: bool = False
    recentre: bool = False
    centre_px: tuple[float, float, float] = (0.0, 0.0, 0.0)
    reference_pixel_A: float = -1.0
    treatment: Treatment | None = None
    ctf_box_px: int = 0
    bias_px: tuple[int, int] = (0, 0)
    seed: int = 0


@dataclass(frozen=True)
class Loaded:
    """A micrograph in memory, and its picks as they were read."""

    micrograph: NDArray[np.float32]
    picks: Table


@dataclass(frozen=True)
class Cut:
    """The particles of a micrograph before they are written, and the bytes that were read.

    `images` is a view of `memory`, which goes back to be used again.
    """

    images: NDArray[np.float32]
    picks: Table
    n_read: int
    memory: torch.Tensor | None = None


@dataclass(frozen=True)
class Extracted:
    """The particles of a micrograph on disk: its name, the file of its rows, the rows."""

    micrograph: str
    star: str
    rows: Table


class ExtractParticles(Work[Micrograph, Loaded, Cut, Extracted]):
    """Cut the particles of each micrograph and write them as one stack.

    Parameters
    ----------
    run
        The job.
    inputs
        What was read.
    plan
        What is done.
    optics
        Optics groups of the particles.
    """

    def __init__(self, run: Run, inputs: Inputs, plan: Plan, optics: Table) -> None:
        self.run, self.inputs, self.plan, self.optics = run, inputs, plan, optics
        self._memory: queue.SimpleQueue[torch.Tensor] = queue.SimpleQueue()
        self._micrographs = ReusedMemory()

    def name(self, unit: Micrograph) -> str:
        """Return the micrograph's file."""
        return unit.name

    def restore(self, unit: Micrograph) -> Extracted | None:
        """Return the rows of a micrograph that was done; its stack was whole before them."""
        star = Path(f"{unit.stem}_extract.star")
        if not (self.run.project / star).exists():
            return None
        rows = read_star(self.run.project / star).first
        if len(rows) and not (self.run.project / f"{unit.stem}.mrcs").exists():
            return None
        return Extracted(unit.name, str(star), replace(rows, name="images"))

    def load(self, unit: Micrograph) -> Loaded:
        """Read a micrograph and its picks."""
        if unit.problem:
            raise InputError(f"{unit.name}: {unit.problem}")
        picks = self._picks(unit)
        if not len(picks):  # nothing to cut
            return Loaded(np.zeros((1, 1), np.float32), picks)
        return Loaded(self._micrographs.read(self.run.project / unit.name), picks)

    def compute(
        self, units: Sequence[Micrograph], loaded: Sequence[Loaded], device: torch.device
    ) -> Sequence[Cut]:
        """Cut the particles of micrographs."""
        cuts = []
        for unit, one in zip(units, loaded, strict=True):
            cuts.append(self._cut(unit, one, device))
            self._micrographs.give_back(one.micrograph)
        return cuts

    def save(self, unit: Micrograph, computed: Cut) -> Extracted:
        """Write the stack, then the rows that say that it is whole."""
        stem = self.run.project / unit.stem
        stem.parent.mkdir(parents=True, exist_ok=True)
        images, rows = computed.images, Table("images")
        if len(images):
            pixel_A = unit.pixel_size_A * self.plan.recipe.box_px / self.plan.recipe.scaled_px
            path = stem.with_name(f"{stem.name}.mrcs")
            shape = (images.shape[1], images.shape[2])
            with StackWriter(path, shape, pixel_A, float16=self.plan.float16) as stack:
                for start in range(0, len(images), _WRITTEN_TOGETHER):
                    self.run.check_abort()
                    stack.write(images[start : start + _WRITTEN_TOGETHER])
            rows = extraction_rows.particle_rows(
                computed.picks,
                f"{unit.stem}.mrcs",
                unit.row,
                keep_ctf=self.inputs.keep_ctf,
                keep_group=self.inputs.keep_ctf,
            )
            if len(images) < FEW:
                self.run.warn(
                    f"Some micrographs have fewer than {FEW} particles, too few to know the scale "
                    "of a micrograph well: a refinement may need them joined into groups.",
                    unit.name,
                )
        if computed.memory is not None:
            self._memory.put(computed.memory)
        star = stem.with_name(f"{stem.name}_extract.star")
        write_star(star, [rows if len(rows) else _nothing()], keep_empty=True)
        return Extracted(unit.name, f"{unit.stem}_extract.star", rows)

    def publish(self, results: Sequence[Extracted]) -> None:
        """Write the particles of all micrographs, and where their coordinates are."""
        some = [result for result in results if len(result.rows)]
        if not some:
            return
        rows = extraction_rows.joined([result.rows for result in some])
        write_star(self.run.path / "particles.star", Star([self.optics, rows]))
        columns = {
            MICROGRAPH: [result.micrograph for result in some],
            "rlnMicrographCoordinates": [result.star for result in some],
        }
        write_star(self.run.path / "extractpick.star", [Table.from_columns(TABLE, columns)])

    def cost(self, computed: Cut) -> tuple[float, float]:
        """Return the bytes read and written."""
        written = computed.images.nbytes // (2 if self.plan.float16 else 1)
        return 0.0, float(computed.n_read + written)

    def segmented(self, unit: Micrograph, picks: Table) -> Table:
        """Return boxes along filaments picked by start and end; other picks as they are."""
        if self.plan.segments_A < 0 or unit.problem:
            return picks
        return helical_picks.segments(picks, self.plan.segments_A or None, unit.pixel_size_A)

    def _picks(self, unit: Micrograph) -> Table:
        """Return the picks of a micrograph, or its refined particles."""
        if self.inputs.particles is not None:
            return self.inputs.particles.select(unit.particles)
        if unit.picks is None:
            return Table()
        picks = read_picks(unit.picks)
        if not len(picks):
            self.run.warn("Some files of picks are empty.", unit.name)
        return picks

    def _cut(self, unit: Micrograph, loaded: Loaded, device: torch.device) -> Cut:
        plan, recipe = self.plan, self.plan.recipe
        image = torch.from_numpy(loaded.micrograph)
        picks = self._usable(unit, loaded.picks, (image.shape[0], image.shape[1]))
        size = recipe.window_px
        if not len(picks):
            return Cut(np.zeros((0, size, size), np.float32), picks, loaded.micrograph.nbytes)
        low, high = torch.aminmax(image)
        if low == high:
            raise FormatError(f"{unit.name}: all its pixels are {float(low):g}; there is no image")
        psi = None
        if plan.tube_diameter_A:
            psi = torch.deg2rad(torch.from_numpy(picks[helical_picks.PSI_PRIOR].copy()))
            binning = recipe.box_px / recipe.scaled_px
            radius = plan.tube_diameter_A / 2 / (unit.pixel_size_A * binning)
            if 2 * radius > size:
                raise InputError(
                    f"{unit.name}: the tube of {plan.tube_diameter_A:g} Å is {2 * radius:.0f} "
                    f"pixels wide, more than the box of {size}; take a larger box"
                )
            recipe = replace(recipe, radius_px=radius)
        centres = extraction_rows.centre_pixels(picks)
        seed = zlib.crc32(unit.name.encode()) + plan.seed
        memory = self._reused(len(picks) * size**2) if device.type == "cpu" else None
        images, is_flat = extraction.extract(
            image.to(device),
            torch.from_numpy(centres).to(device),
            recipe,
            psi_rad=None if psi is None else psi.to(device),
            correction=self._correction(unit, picks, device),
            generator=torch.Generator(device).manual_seed(seed) if recipe.dust.is_on else None,
            target=None if memory is None else _view(memory, len(picks), size),
        )
        if bool(is_flat.any()):
            self.run.warn(
                "Some particles have a background of constant value, as after masking, and are "
                "not divided by its spread.",
                f"{unit.name}: {int(is_flat.sum())} of {len(picks)}",
            )
        return Cut(images.cpu().numpy(), picks, loaded.micrograph.nbytes, memory)

    def _reused(self, n_pixels: int) -> torch.Tensor:
        """Return memory for images, that of an earlier micrograph where it is large enough."""
        try:
            memory = self._memory.get_nowait()
        except queue.Empty:
            return torch.empty(n_pixels)
        return memory if len(memory) >= n_pixels else torch.empty(n_pixels)

    def _usable(self, unit: Micrograph, picks: Table, shape: tuple[int, int]) -> Table:
        """Return the picks that are taken, where they are taken."""
        plan = self.plan
        if not len(picks):
            return picks
        picks = self.segmented(unit, picks)
        if plan.tube_diameter_A:
            picks = helical_picks.with_flip_ratio(picks, bimodal=plan.bimodal)
        picks = picks.select(extraction_rows.chosen(picks, plan.min_fom, plan.selection_type))
        if plan.reset_origins:
            picks = extraction_rows.without_origins(picks)
        elif plan.recentre:
            picks = extraction_rows.recentred(
                picks,
                plan.centre_px,
                reference_pixel_A=self._reference_pixel_A(picks),
                micrograph_pixel_A=unit.pixel_size_A,
            )
        picks = extraction_rows.moved(picks, plan.bias_px)
        box = plan.recipe.box_px
        picks = self._kept(
            unit,
            picks,
            extraction_rows.placed(picks),
            "Some picks have coordinates that are no numbers, and are left out.",
        )
        centres = torch.from_numpy(extraction_rows.centre_pixels(picks))
        picks = self._kept(
            unit,
            picks,
            extraction.touches(centres, box, shape).numpy(),
            "Some picks lie outside of their micrograph with their whole box, and are left out. "
            "Were they picked from micrographs of another size or binning?",
        )
        if plan.tube_diameter_A and plan.segments_A and self.inputs.particles is None:
            picks = self._kept(
                unit,
                picks,
                extraction_rows.whole_boxes(picks, box, shape),
                "Some segments reach over the edge of their micrograph, and are left out.",
            )
        return picks

    def _kept(self, unit: Micrograph, picks: Table, keep: NDArray[np.bool_], why: str) -> Table:
        """Return the picks that can be used, and tell why others cannot."""
        if keep.all():
            return picks
        self.run.warn(why, f"{unit.name}: {int((~keep).sum())} of {len(picks)}")
        return picks.select(keep)

    def _reference_pixel_A(self, picks: Table) -> float | NDArray[np.float64]:
        """Return the pixel size that a new centre counts."""
        if self.plan.reference_pixel_A > 0 or not any(self.plan.centre_px):
            return self.plan.reference_pixel_A
        sizes = self.inputs.old_pixel_sizes_A
        return np.array([sizes.get(int(group), 0.0) for group in picks[GROUP]])

    def _correction(
        self, unit: Micrograph, picks: Table, device: torch.device
    ) -> Correction | None:
        if self.plan.treatment is None:
            return None
        keep = self.inputs.keep_ctf
        rows = extraction_rows.particle_rows(picks, "", unit.row, keep_ctf=keep, keep_group=keep)
        if extraction_rows.DEFOCUS not in rows:
            raise FormatError(f"{unit.name}: no defocus is known, so the CTF cannot be applied")
        n = len(self.optics)
        sampling = {
            "rlnImagePixelSize": [unit.pixel_size_A] * n,
            "rlnImageSize": [self.plan.ctf_box_px] * n,
        }
        particles = Particles.from_tables(rows, self.optics.with_columns(sampling))
        return Correction(
            optics_record(particles.optics_table).to(device),
            particles.defocus(np.arange(len(rows))).to(device),
            torch.from_numpy(particles.group).to(device),
            self.plan.treatment,
        )


def _view(memory: torch.Tensor, n: int, size: int) -> torch.Tensor:
    return memory[: n * size**2].view(n, size, size)


def _nothing() -> Table:
    """Return the rows of a micrograph without particles."""
    return Table.from_columns("images", {extraction_rows.X: [], extraction_rows.Y: []})
