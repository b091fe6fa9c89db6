"""Import: bring movies, micrographs and other files into the project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import (
    COORDINATES,
    DENSITY_MAP,
    HALF_MAP,
    IMAGES_2D,
    MASK,
    MICROGRAPHS,
    MOVIES,
    PARTICLES,
)

KINDS = {
    "Particle coordinates (*.box, *_pick.star)": COORDINATES,
    "Particles STAR file (.star)": PARTICLES,
    "Multiple (2D or 3D) references (.star or .mrcs)": IMAGES_2D,
    "Micrographs STAR file (.star)": MICROGRAPHS,
    "3D reference (.mrc)": DENSITY_MAP,
    "3D mask (.mrc)": MASK,
    "Unfiltered half-map (unfil.mrc)": HALF_MAP,
}


@job(
    "relion.import",
    folder="Import",
    gui_name="Import",
    number=0,
    hidden_prefix=".gui_import",
    place=1,
    queue=False,
)
class Import(Options):
    """Bring movies, micrographs, particles, maps or masks into the project."""

    import_images: bool = option(
        default=True,
        key="do_raw",
        tab="Movies and micrographs",
        label="Import movies or micrographs",
        relion_label="Import raw movies/micrographs?",
        help="The usual first job: list the images of the microscope together with its optics.",
    )
    images: str = option(
        default="Micrographs/*.tif",
        key="fn_in_raw",
        tab="Movies and micrographs",
        label="Image files",
        relion_label="Raw input files:",
        help="Pattern of the files, from the project folder, such as Movies/*.tiff. Files that "
        "lie elsewhere are reached through a symbolic link in the project folder.",
        pattern="Movie or Image (*.{mrc,mrcs,tif,tiff,eer,mrc.bz2,mrcs.bz2,mrc.zst,mrcs.zst,"
        "mrc.xz,mrcs.xz})",
        directory=".",
        when="import_images",
        on_continue="free",
    )
    are_movies: bool = option(
        default=True,
        key="is_multiframe",
        tab="Movies and micrographs",
        label="Movies with several frames",
        relion_label="Are these multi-frame movies?",
        help="Yes for movies, which go to motion correction; No for single images, which go "
        "to CTF estimation.",
        when="import_images",
        on_continue="free",
    )
    optics_group: str = option(
        default="opticsGroup1",
        key="optics_group_name",
        tab="Movies and micrographs",
        label="Optics group",
        relion_label="Optics group name:",
        help="Name for the images that share a microscope set-up. Give each session, or each "
        "beam-shift position, a name of its own. Letters, digits and hyphens.",
        when="import_images",
        on_continue="free",
    )
    mtf: str = option(
        default="",
        like=common.MTF,
        tab="Movies and micrographs",
        relion_label="MTF of the detector:",
        help="STAR file with the modulation transfer function of the detector at this voltage. "
        "It may also be given later, in post-processing.",
        when="import_images",
        on_continue="free",
    )
    pixel_size_A: float = option(
        default=1.4,
        key="angpix",
        tab="Movies and micrographs",
        label="Pixel size (Å)",
        relion_label="Pixel size (Angstrom):",
        help="Pixel size of the files as they are: for super-resolution movies that of the "
        "super-resolution pixel. Typical values are 0.5 to 1.5 Å.",
        low=0.5,
        high=3,
        step=0.1,
        at_least=0.01,
        when="import_images",
        on_continue="free",
    )
    voltage_kV: float = option(
        default=300,
        key="kV",
        tab="Movies and micrographs",
        label="Voltage (kV)",
        relion_label="Voltage (kV):",
        help="Acceleration voltage of the microscope: 300, 200 or 100 kV.",
        low=50,
        high=500,
        step=10,
        at_least=1,
        when="import_images",
        on_continue="free",
    )
    cs_mm: float = option(
        default=2.7,
        key="Cs",
        tab="Movies and micrographs",
        label="Spherical aberration (mm)",
        relion_label="Spherical aberration (mm):",
        help="Spherical aberration of the objective lens: 2.7 mm for a Titan Krios, 1.4 mm for "
        "a Talos Arctica, near 0 with a corrector.",
        low=0,
        high=8,
        step=0.1,
        when="import_images",
        on_continue="free",
    )
    amplitude_contrast: float = option(
        default=0.1,
        key="Q0",
        tab="Movies and micrographs",
        label="Amplitude contrast",
        relion_label="Amplitude contrast:",
        help="Part of the contrast that is amplitude contrast: 0.1 for proteins in ice (some "
        "prefer 0.07), up to 0.2 in negative stain.",
        low=0,
        high=0.3,
        step=0.01,
        when="import_images",
        on_continue="free",
    )
    beam_tilt_x_mrad: float = option(
        default=0,
        key="beamtilt_x",
        tab="Movies and micrographs",
        label="Beam tilt in x (mrad)",
        relion_label="Beamtilt in X (mrad):",
        help="Known tilt of the beam along x. Leave 0 where it is not known: CTF refinement "
        "measures it.",
        low=-1,
        high=1,
        step=0.1,
        when="import_images",
        on_continue="free",
    )
    beam_tilt_y_mrad: float = option(
        default=0,
        key="beamtilt_y",
        tab="Movies and micrographs",
        label="Beam tilt in y (mrad)",
        relion_label="Beamtilt in Y (mrad):",
        help="Known tilt of the beam along y. Leave 0 where it is not known: CTF refinement "
        "measures it.",
        low=-1,
        high=1,
        step=0.1,
        when="import_images",
        on_continue="free",
    )
    import_other: bool = option(
        default=False,
        key="do_other",
        tab="Other files",
        label="Import another file",
        relion_label="Import other node types?",
        help="Bring in one file that was made elsewhere: coordinates, particles, references, "
        "a map, a mask or a half-map. Switch the import of images off for it.",
    )
    other_file: str = option(
        default="ref.mrc",
        key="fn_in_other",
        tab="Other files",
        label="File",
        relion_label="Input file:",
        help="The file. For coordinates a pattern with a star before what the names share, such "
        "as Picks/*_pick.star. Of two half-maps either one: the other is found beside it.",
        pattern="Input file (*.*)",
        directory=".",
        when="import_other",
        on_continue="free",
    )
    other_kind: str = option(
        default="Particle coordinates (*.box, *_pick.star)",
        key="node_type",
        tab="Other files",
        label="What it is",
        relion_label="Node type:",
        help="What the file holds, which decides the jobs that will take it.",
        choices=tuple(KINDS),
        when="import_other",
        on_continue="free",
    )
    particles_optics_group: str = option(
        default="",
        key="optics_group_particles",
        tab="Other files",
        label="New optics group of the particles",
        relion_label="Rename optics group for particles:",
        help="New name for the optics group of imported particles that have only one, so that "
        "it does not clash with another of the same name. Usually empty.",
        when="import_other",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    @property
    def other_type(self) -> str:
        """Node type of the other file."""
        return KINDS.get(self.other_kind, COORDINATES)

    @property
    def output_name(self) -> str:
        """Name of the file in the job folder that lists or holds what was imported."""
        if self.import_images:
            return "movies.star" if self.are_movies else "micrographs.star"
        if self.other_type == COORDINATES:
            return "coords_suffix" + self.other_file.rpartition("*")[2]
        path = PurePosixPath(self.other_file)
        return f"{path.stem}.star" if path.suffix == ".cs" else path.name

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.import_images and self.import_other:
            yield Problem("import_other", "a job imports images or another file, not both")
        if not self.import_images and not self.import_other:
            yield Problem("import_images", "nothing is imported; switch one kind of import on")
        if self.import_images:
            yield from self._check_images()
        if self.import_other and self.other_type == PARTICLES:
            yield from _check_group("particles_optics_group", self.particles_optics_group)

    def _check_images(self) -> Iterator[Problem]:
        if "../" in self.images or self.images.startswith("/"):
            yield Problem(
                "images",
                f"is {self.images}, which leaves the project folder; make a symbolic link in the "
                "project folder and give the path through it",
            )
        name = self.optics_group.replace("$$", "")
        yield from _check_group("optics_group", name)
        if not name:
            yield Problem("optics_group", "is empty; give a name such as opticsGroup1")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.import_images:
            yield "movies"
        elif self.import_other:
            yield "other"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the list of images, or the other file."""
        if self.import_images:
            yield Output(self.output_name, MOVIES if self.are_movies else MICROGRAPHS)
        if not self.import_other:
            return
        yield Output(self.output_name, self.other_type)
        if self.other_type == HALF_MAP:
            yield Output(other_half(self.output_name), HALF_MAP)

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: nothing here can be made again."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "imported", "Imported files")
        if self.import_images:
            yield Result("headline", "optics_groups", "Optics groups")
            yield Result("headline", "pixel_size", "Pixel size", "Å")
        elif self.other_type == PARTICLES:
            yield Result("plot", "power_spectrum", "Mean power spectrum of the particles")


def other_half(path: str) -> str:
    """Return the name of the half-map that belongs to one: half1 and half2 swapped."""
    folder, slash, name = path.rpartition("/")
    if "half1" in name:
        return folder + slash + name.replace("half1", "half2")
    return folder + slash + name.replace("half2", "half1")


def _check_group(option_name: str, name: str) -> Iterator[Problem]:
    if not re.fullmatch("[0-9A-Za-z-]*", name):
        yield Problem(
            option_name, f"is {name!r}; a name may hold letters, digits and hyphens, no others"
        )
